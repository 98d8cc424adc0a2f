"""Bytes to frames: COBS, CRC-32, packets and text lines, streaming and allocation-free."""
