"""Training: labelled sessions in, a model bundle out; the updates themselves are the backend's."""
