"""Decisions tried on held-out runs: what they find, what it is worth, how to look for the best."""
