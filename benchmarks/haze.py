"""What haze, darkness and low contrast cost, on a bundled scene.

    python -m benchmarks.haze [--model default] [--scale 0,255]

The pixels `I` of an 8-bit scene become `I t + A (1 - t)` under haze of transmission `t` and colour
`A`, or are multiplied in the dark, and the whole of `buildext extract` is scored on the result.
`--scale 0,255` leaves the values as they are, without the stretch of narrow scenes.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import rasterio

from benchmarks.accuracy import CARDS, Row, score
from buildext.extract.options import ExtractOptions

SCENE = CARDS / "kampala_b" / "scene.tif"
LABELS = CARDS / "kampala_b" / "buildings.gpkg"
AIRLIGHT = np.array([190.0, 195.0, 205.0])[:, None, None]
# Gain and what is added, of each kind of weather.
WEATHER = {
    "as it is": (1.0, 0.0),
    "haze, 60 % of the light left": (0.6, 0.4 * AIRLIGHT),
    "haze, 40 %": (0.4, 0.6 * AIRLIGHT),
    "haze, 25 %": (0.25, 0.75 * AIRLIGHT),
    "dark, 40 %": (0.4, 0.0),
    "dark, 20 %": (0.2, 0.0),
    "low contrast": (0.35, 85.0),
}


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="default")
    parser.add_argument("--scale", help="as that of `buildext extract`")
    arguments = parser.parse_args()
    low, high = (
        (float(text) for text in arguments.scale.split(",")) if arguments.scale else (None, None)
    )
    options = ExtractOptions(
        model=arguments.model, scale=None if low is None or high is None else (low, high)
    )
    with rasterio.open(SCENE) as scene:
        pixels, place, crs = scene.read([1, 2, 3]), scene.transform, scene.crs
    print("| weather | pixel F1 | object F1 |\n|---|---|---|")
    for name, (gain, added) in WEATHER.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "scene.tif"
            changed = np.clip(pixels * gain + added, 0, 255).astype(np.uint8)
            with rasterio.open(
                path,
                "w",
                driver="GTiff",
                count=3,
                height=changed.shape[1],
                width=changed.shape[2],
                dtype="uint8",
                transform=place,
                crs=crs,
                photometric="RGB",
                compress="deflate",
            ) as file:
                file.write(changed)
            row = Row()
            row.add(*score(path, LABELS, options))
        figures = row.figures()
        print(f"| {name} | {figures['f1']:.3f} | {figures['object_f1']:.3f} |", flush=True)


if __name__ == "__main__":
    main()
