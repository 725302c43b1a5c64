"""Readers that turn what phone and chat systems write into conversations to be captured."""
