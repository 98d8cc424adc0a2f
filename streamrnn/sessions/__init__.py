"""Recorded frames and labels: MCAP files, importers, labels. Knows no device and no model."""
