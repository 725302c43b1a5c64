"""The deeds of this room, by noun."""
