"""Finland's Swedish formats."""
