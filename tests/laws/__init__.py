"""The ten laws, each tried to be broken by every way there is; and capture of what others made."""
