"""Studies: many training runs that differ in few things, and what can be said of the differences.

    study config → stages → arms × seeds → runs → records → means, intervals, ranks → page

A study answers questions such as "which encoder?" or "does adaptation beat clean labels alone?".
It trains nothing itself: each run is an ordinary training run in a folder of its own.
"""
