"""The algorithms of the provider, one a file; what they share is in `base.py`."""
