"""What is broken on purpose at a size that tests have no time for; each prints its numbers."""
