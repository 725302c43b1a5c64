"""How long conversations are kept, what bars their destruction, and the proof of it."""
