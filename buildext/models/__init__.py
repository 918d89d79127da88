"""What a model is on disk: a folder with a card and its weights, loaded strictly or not at all."""
