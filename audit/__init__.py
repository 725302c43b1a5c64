"""What happened: events that are never altered, their export and their pages. Knows no other app."""
