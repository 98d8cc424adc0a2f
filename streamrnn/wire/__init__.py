"""The wire, version 1 (docs/wire.md): bytes to frames and back. No I/O, no clock."""
