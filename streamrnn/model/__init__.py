"""Networks at rest: spec, initial weights, the model file, conversion."""
