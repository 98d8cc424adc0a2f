"""Recurrent networks: the cell arithmetic, the oracle, and the CPU backend."""
