"""Hand-written encoders, one family a file."""
