"""Write the sheet of rehearsal tiles of the bundled model.

    BUILDEXT_DATA=/path/to/data python -m benchmarks.rehearsal

Tiles of the default model's training scenes whose licence allows it (CC BY 4.0), drawn as the
training draws them. What stands in the model's card is renewed, hashes included.
"""

from __future__ import annotations

import os
from pathlib import Path

from buildext.learn.training.config import SamplingSection
from buildext.learn.training.data.dataset import open_dataset
from buildext.learn.training.methods.rehearsal import SHEET_NAME, write_sheet
from buildext.learn.training.tiles.sampling import TileSampler
from buildext.models.card import read_card
from buildext.models.store import BUNDLED, write_model_card

ROOT = Path(__file__).parents[1]
DATASETS = ("kampala", "banepa_town", "zanzibar", "catanduanes")
SHARES = {"kampala": 0.35, "banepa_town": 0.35, "zanzibar": 0.2, "catanduanes": 0.1}
TILES = 32


def main() -> None:
    data = Path(os.environ["BUILDEXT_DATA"])
    scenes = []
    for name in DATASETS:
        for item in open_dataset(ROOT / "datasets" / name, data):
            scenes.append(item.scene)
    options = SamplingSection(tile_px=256, gsd_m=(0.1, 0.35), weights=SHARES, empty_tiles=0.2)
    sampler = TileSampler(scenes, options, seed=5)
    folder = BUNDLED / "default"
    write_sheet(folder / SHEET_NAME, [sampler.sample(i).image for i in range(TILES)])
    write_model_card(folder, read_card(folder))
    print(f"{folder / SHEET_NAME}: {(folder / SHEET_NAME).stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
