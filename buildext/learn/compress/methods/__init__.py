"""Methods of post-training quantisation: each a function from a workbench to a plan.

All of them see the same sites, the same calibration tiles and the same target, and what a target
cannot run is left out for all of them alike.
"""
