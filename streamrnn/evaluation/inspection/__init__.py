"""What recordings will do to a model, found before anything is trained on them."""
