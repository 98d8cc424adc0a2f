"""What happens to the frames of many streams besides the network."""
