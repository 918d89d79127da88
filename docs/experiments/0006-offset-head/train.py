"""Trains with another knee in the loss of the step than the package's.

    python docs/experiments/0006-offset-head/train.py KNEE_M CONFIG OUT

Below the knee the loss of a pixel is the square of its error, above it the error itself
(`buildext.learn.training.losses.offset`). Everything else is `buildext train CONFIG --out OUT`.
"""

from __future__ import annotations

import sys

from buildext.cli.main import main
from buildext.learn.training.losses import offset

if __name__ == "__main__":
    offset.KNEE_M = float(sys.argv[1])
    sys.argv = ["buildext", "train", sys.argv[2], "--out", sys.argv[3], "--progress", "json"]
    main()
