"""Generative architecture search: networks made to a user's constraints."""
