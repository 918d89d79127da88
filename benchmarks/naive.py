"""The tiled torch loop that most tools have: the yardstick of `benchmarks.extract`.

    python -m benchmarks.naive SCENE MODEL OUT [MAX_MEGAPIXELS]

Read the whole scene, cut tiles of 512 px that overlap by a quarter, run them in batches of four
through torch in float32, add them up with a Hann window in arrays of the scene's size, divide,
threshold, polygonise, write. It is a fair version of that loop: inference mode, no gradient, the
same weights. Prints megapixels a second.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
import rasterio.features
import shapely
import shapely.geometry
import torch
from rasterio.windows import Window

from buildext.learn.networks.build import load_network
from buildext.models.store import load_model

TILE, OVERLAP, BATCH = 512, 128, 4


def main(scene: str, model_name: str, out: str, limit_mp: float = 25.0) -> None:
    model = load_model(model_name)
    network = load_network(model.card, model.weights).eval()
    with rasterio.open(scene) as dataset:
        rows = min(dataset.height, max(TILE, int(limit_mp * 1e6 / dataset.width)))
        start = time.perf_counter()
        image = dataset.read((1, 2, 3), window=Window(0, 0, dataset.width, rows))
        transform, crs = dataset.transform, dataset.crs
    height, width = image.shape[1:]
    stride = TILE - OVERLAP
    ys = [*range(0, max(height - TILE, 0), stride), max(height - TILE, 0)]
    xs = [*range(0, max(width - TILE, 0), stride), max(width - TILE, 0)]
    corners = [(y, x) for y in ys for x in xs]
    window = np.outer(np.hanning(TILE + 2)[1:-1], np.hanning(TILE + 2)[1:-1]).astype(np.float32)
    total = np.zeros((len(model.card.channels), height, width), np.float32)
    weight = np.zeros((height, width), np.float32)
    with torch.inference_mode():
        for first in range(0, len(corners), BATCH):
            part = corners[first : first + BATCH]
            batch = np.stack([image[:, y : y + TILE, x : x + TILE] for y, x in part])
            result = network(torch.from_numpy(batch)).numpy()
            for (y, x), probability in zip(part, result, strict=True):
                total[:, y : y + TILE, x : x + TILE] += probability * window
                weight[y : y + TILE, x : x + TILE] += window
    mask = (total[0] / weight > 0.5).astype(np.uint8)
    polygons = [
        shapely.geometry.shape(geometry)
        for geometry, _ in rasterio.features.shapes(mask, mask.astype(bool), transform=transform)
    ]
    pyogrio.raw.write(
        out,
        geometry=shapely.to_wkb(np.array(polygons, dtype=object)),
        field_data=[],
        fields=[],
        geometry_type="Polygon",
        crs=crs.to_wkt(),
        driver="GPKG",
    )
    seconds = time.perf_counter() - start
    print(f"{height * width / 1e6 / seconds:.4f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], str(Path(sys.argv[3])), *map(float, sys.argv[4:]))
