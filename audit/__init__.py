"""What happened: events never altered, their export and their pages. Knows no other app."""
