"""From frames to events: the pure pipeline, the model bundle, the offline and the live loop."""
