"""What lies between a board and its reader: terminal, TCP, UDP, MQTT, or nothing at all.

`server` serves any board on any cable from a thread at a `pace`; `pty`, `tcp`, `udp` and `mqtt` are
the kinds of cable, and `choose` reads from words which one it shall be. `memory` and `pty_link` are
links for a reader in the same process.
"""
