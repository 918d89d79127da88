"""Cutting: patches of ground and roofs from real scenes, with the help of their labels.

A patch of ground is a square of 12 m with no labelled building in or near it, of which most is of
one sort by colour: green is vegetation, reddish is bare soil, grey is paved if bright and asphalt
if dark. The most even ones are kept. A patch of a roof is the largest square inside a labelled
building, turned so that the building's longer side is level: the ribs of its roofing then run along
the axes of whatever building it is laid on.

Patches have pixels of 0.15 m; a drone's are averaged to that, a satellite's enlarged. Scenes are
read window by window.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from buildext.errors import InputError, NoCrsError
from buildext.footprints.frame import as_pyproj
from buildext.grid.window import Window
from buildext.scene import SceneOptions, open_scene
from buildext.simulate.ground import project
from buildext.simulate.layer import read_layer
from buildext.simulate.texture import PATCH_M, Patches, Surface

Bytes = NDArray[np.uint8]

_GSD_M = 0.15
_SIDE = round(PATCH_M / _GSD_M)
_WINDOW_PX = 2048
_CLEAR_M = 1.5
_PURE = 0.75
_ROUGHEST_ROOF = 0.12
_KEPT = 20
_LEAST_ROOF_PX = 22
# Roofs are lit unevenly; what is wider than this is taken out of their patches.
_LIGHT_PX = 9.0
BUNDLED = Path(__file__).with_name("patches")


def cut_patches(scenes: Sequence[tuple[Path, Path]]) -> Patches:
    """Cut patches from scenes; the bundled ones where there is no scene.

    Args:
        scenes: pairs of an image and its labels (polygons or a mask).

    Raises:
        SceneError, InputError: a scene or its labels cannot be read.
        InputError: no patch was found at all.
    """
    if not scenes:
        return read_patches(BUNDLED)
    found: dict[Surface, list[tuple[float, Bytes]]] = {}
    for image, labels in scenes:
        for surface, score, patch in _patches_of(image, labels):
            found.setdefault(surface, []).append((score, patch))
    if not found:
        raise InputError(
            "got scenes without an even square of 12 m of ground, and without a roof of 3.3 m",
            hint="give scenes with more ground, or leave --texture out",
        )
    stacks = {}
    for surface, scored in found.items():
        best = sorted(scored, key=lambda pair: pair[0])[:_KEPT]
        stacks[surface] = np.stack([patch for _, patch in best])
    return Patches(_GSD_M, stacks)


def read_patches(folder: Path) -> Patches:
    """Patches that `write_patches` has written."""
    import rasterio

    stacks = {}
    for surface in Surface:
        path = folder / f"{surface.name.lower()}.jpg"
        if path.exists():
            with _quiet(), rasterio.open(path) as strip:
                pixels = strip.read()
            stacks[surface] = np.moveaxis(pixels, 0, -1).reshape(-1, _SIDE, _SIDE, 3)
    return Patches(_GSD_M, stacks)


def write_patches(folder: Path, patches: Patches) -> None:
    """Write each surface's patches as one strip, `<surface>.jpg`."""
    import rasterio

    for surface, stack in patches.stacks.items():
        strip = np.moveaxis(stack.reshape(-1, _SIDE, 3), -1, 0)
        profile = {"driver": "JPEG", "count": 3, "dtype": "uint8", "quality": 88}
        path = folder / f"{surface.name.lower()}.jpg"
        with (
            _quiet(),
            rasterio.open(
                path, "w", height=strip.shape[1], width=strip.shape[2], **profile
            ) as file,
        ):
            file.write(strip)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Strips of patches lie nowhere on the Earth, which rasterio thinks worth a warning."""
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def _patches_of(image: Path, labels: Path) -> Iterator[tuple[Surface, float, Bytes]]:
    """Surface, score (less is better) and pixels of all patches of a scene."""
    from rasterio.features import rasterize
    from scipy import ndimage

    layer = read_layer(labels)
    options = SceneOptions(gsd_range_m=(_GSD_M, _GSD_M), gsd_m=_GSD_M)
    with open_scene([image], options) as scene:
        if scene.crs is None:
            raise NoCrsError(f"{image} has no CRS; expected one", hint="assign it with gdal_edit")
        polygons = project(layer.polygons, layer.crs, as_pyproj(scene.crs))
        inverse = ~scene.transform
        polygons = shapely.transform(
            polygons,
            lambda xy: np.column_stack(
                [
                    inverse.a * xy[:, 0] + inverse.b * xy[:, 1] + inverse.c,
                    inverse.d * xy[:, 0] + inverse.e * xy[:, 1] + inverse.f,
                ]
            ),
        )
        tree = shapely.STRtree(polygons)
        for row in range(0, scene.height, _WINDOW_PX):
            for col in range(0, scene.width, _WINDOW_PX):
                window = Window(row, col, _WINDOW_PX, _WINDOW_PX)
                pixels, valid = scene.read(window)
                colours = np.moveaxis(pixels, 0, -1)
                box = shapely.box(window.col, window.row, window.col_stop, window.row_stop)
                near = shapely.transform(
                    polygons[np.sort(tree.query(box))], lambda xy, c=col, r=row: xy - (c, r)
                )
                built = np.zeros(valid.shape, bool)
                if len(near):
                    built = rasterize(near, out_shape=valid.shape, dtype=np.uint8) > 0
                clear = ndimage.distance_transform_edt(~built) > _CLEAR_M / _GSD_M
                yield from _ground(colours, clear & valid)
                yield from _roofs(colours, valid, near)


def _ground(colours: Bytes, free: NDArray[np.bool_]) -> Iterator[tuple[Surface, float, Bytes]]:
    """Even squares of one sort of ground."""
    from scipy import ndimage

    red, green, blue = (colours[..., k].astype(np.float32) for k in range(3))
    total = red + green + blue + 1
    excess = (2 * green - red - blue) / total
    warmth = (red - blue) / total
    grey = (np.abs(excess) <= 0.04) & (np.abs(warmth) <= 0.06)
    sorts = {
        Surface.GRASS: excess > 0.07,
        Surface.SOIL: (excess <= 0.06) & (warmth > 0.09) & (total > 200),
        Surface.PAVED: grey & (total > 390),
        Surface.ASPHALT: grey & (total < 330),
        Surface.TREE: (excess > 0.07) & (green > 1.1 * blue) & (total < 330),
    }
    smooth = ndimage.gaussian_filter(total, 5.0)
    for surface, belongs in sorts.items():
        # Lawns are large; of the rest there is often not more than half of a patch in one piece.
        side = _SIDE if surface is Surface.GRASS else _SIDE // 2
        for row in range(0, free.shape[0] - side + 1, side):
            for col in range(0, free.shape[1] - side + 1, side):
                part = (slice(row, row + side), slice(col, col + side))
                if free[part].all() and belongs[part].mean() >= _PURE:
                    unevenness = float(smooth[part].std() / smooth[part].mean())
                    yield surface, unevenness, _mirrored(colours[part])


def _roofs(
    colours: Bytes, valid: NDArray[np.bool_], buildings: NDArray[np.object_]
) -> Iterator[tuple[Surface, float, Bytes]]:
    """The largest squares inside buildings, evened and mirrored to the size of a patch."""
    from rasterio.features import rasterize
    from scipy import ndimage

    frame = shapely.box(0, 0, valid.shape[1], valid.shape[0])
    for building in buildings:
        corners = shapely.get_coordinates(shapely.oriented_envelope(building))
        if len(corners) < 4 or not shapely.covers(frame, building):
            continue
        sides = np.diff(corners[:3], axis=0)
        along = sides[np.argmax(np.hypot(*sides.T))]
        along = along / np.hypot(*along)
        across = np.array([-along[1], along[0]])
        middle = corners[:4].mean(axis=0)
        half = int(np.ceil(np.hypot(*sides.T).max() / 2)) + 2
        level = shapely.transform(
            building,
            lambda xy, m=middle, u=along, v=across, h=half: np.column_stack(
                [(xy - m) @ u + h, (xy - m) @ v + h]
            ),
        )
        mask = rasterize([level], out_shape=(2 * half, 2 * half), dtype=np.uint8)
        room = ndimage.distance_transform_cdt(mask, "chessboard")
        y, x = np.unravel_index(room.argmax(), room.shape)
        reach = int(room[y, x]) - 3
        if 2 * reach < _LEAST_ROOF_PX:
            continue
        steps = np.arange(-reach, reach)
        u, v = np.meshgrid(steps + x - half + 0.5, steps + y - half + 0.5)
        place = middle[:, None, None] + along[:, None, None] * u + across[:, None, None] * v - 0.5
        square = np.stack(
            [
                ndimage.map_coordinates(colours[..., k], place[::-1], order=1, mode="nearest")
                for k in range(3)
            ],
            axis=-1,
        ).astype(np.float32)
        light = ndimage.gaussian_filter(square, (_LIGHT_PX, _LIGHT_PX, 0), mode="mirror")
        even = np.clip(square / np.maximum(light, 1) * square.mean(axis=(0, 1)), 0, 255)
        red, green, blue = square.mean(axis=(0, 1))
        contrast = float(even.mean(axis=2).std() / max(even.mean(), 1))
        # Green roofs are mostly walls without a roof, grass between them.
        if 2 * green - red - blue < 0.05 * (red + green + blue) and contrast < _ROUGHEST_ROOF:
            yield Surface.PITCHED_ROOF, contrast, _mirrored(even.astype(np.uint8))


def _mirrored(square: Bytes) -> Bytes:
    """A square brought to the size of a patch by mirroring it at its borders."""
    more = max(0, _SIDE - len(square))
    return np.pad(square, ((0, more), (0, more), (0, 0)), mode="symmetric")[:_SIDE, :_SIDE]
