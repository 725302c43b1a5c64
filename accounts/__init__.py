"""Who works here, and what each person may do."""
