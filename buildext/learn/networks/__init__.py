"""Torch modules: encoders by name, decoders, heads, and the one function that joins them."""
