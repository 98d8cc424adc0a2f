"""Sources of frames that a library has decoded already: LSL streams, BrainFlow boards."""
