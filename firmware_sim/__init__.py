"""A simulated board: the firmware's state machine, its signals, its faults and its cables.

It imports `streamrnn.core`, `streamrnn.wire` and `streamrnn.sessions` only, so that simulator and
product meet on the wire and nowhere else.
"""
