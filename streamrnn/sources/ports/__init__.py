"""Serial ports: which there are, which board is which, who has one open, and why one fails."""
