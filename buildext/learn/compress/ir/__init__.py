"""The exported network as a graph that can be changed and run.

Quantisation works on the exported file and not on torch modules: whatever a network's Python looks
like, what engines run is this graph, so a layer that is found here is a layer that runs, and what
is inserted here is what is written. All operations of our encoders come down to some sixty kinds.
"""
