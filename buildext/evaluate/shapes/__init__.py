"""Shapes: how well a predicted outline resembles the true one, pair by pair.

Every function here takes two arrays of as many polygons, `pred[i]` matched with `ref[i]`, in a
plane of metres, and returns one number for each pair. Nothing loops over pairs in Python.
"""
