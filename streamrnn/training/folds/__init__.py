"""Parts of a cross-validation: how recordings are split, and what is kept of each part."""
