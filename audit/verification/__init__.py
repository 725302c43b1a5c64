"""Checks a whole log in the database: rows against leaves, leaves against heads and anchors."""
