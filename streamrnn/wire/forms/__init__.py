"""The forms of text lines beside plain numbers in bulk, and what their columns mean."""
