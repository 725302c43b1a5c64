"""The product in a real browser: the whole story, and every page for everybody."""
