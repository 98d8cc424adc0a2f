"""How well the default recipe does on real recordings: readers, protocols, the run, the table."""
