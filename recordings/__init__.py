"""Conversations: their content, who may have it, and how it comes in."""
