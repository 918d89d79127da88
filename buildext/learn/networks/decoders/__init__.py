"""Decoders: each grows an encoder's deepest map back to a usable resolution."""
