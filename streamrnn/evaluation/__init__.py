"""Evaluation: recorded truth against the product's own offline run."""
