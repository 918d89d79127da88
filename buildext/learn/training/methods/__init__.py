"""Methods: how noisy and clean labels are used together, one file each.

A method is a function that takes a `Workshop`, goes through its phases with `fit` and returns the
network that is kept, with the weights that are kept. `METHODS` in `table.py` lists them by name.
"""
