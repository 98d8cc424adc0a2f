"""Where a simulated board's frames come from, and what its sensors add to them.

`origin` says what all of them have in common, `playback` repeats recorded sessions, `noise` and
`numbered` change another one. The one that moves a hand has a folder to itself,
`firmware_sim.signals`.
"""
