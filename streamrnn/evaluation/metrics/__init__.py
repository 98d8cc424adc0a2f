"""What is counted of events, times and frames: plain functions of what was true and found."""
