"""What happens to every frame besides the network: features, softmax, smoothing."""
