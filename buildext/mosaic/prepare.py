"""Preparing a run: from names and options, and what an earlier run left, to a plan.

What was decided once stays: the number of a file, the lattice as long as nothing else is asked for,
and the stretch of a sensor group. Otherwise one more file would move every pixel by a fraction, or
make every roof a shade lighter, and a city would have to be done again for it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from buildext.errors import DamagedSceneError, SceneError
from buildext.extract.area import read_area
from buildext.extract.choices import scene_options, separation_options, tile_sizes
from buildext.models.card import Card
from buildext.models.store import load_model
from buildext.mosaic.inputs import Listing, list_inputs
from buildext.mosaic.lattice import Lattice, Wish, choose_lattice
from buildext.mosaic.ledger import Ledger
from buildext.mosaic.options import GIVEN, NADIR, NEWEST, MosaicOptions
from buildext.mosaic.plan import Plan, digest, make_plan
from buildext.mosaic.rows import OutlineOptions, SourceRow, SourceState
from buildext.mosaic.survey import Surveyed, group_stretch, in_order, survey
from buildext.progress import Progress
from buildext.scene.options import SceneOptions
from buildext.scene.scaling import Stretch
from buildext.scene.source import Source

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run that can begin.

    Attributes:
        plan: blocks and files.
        without: numbers of files that are in the plan and turned out to be damaged.
        outline: how probability becomes outlines.
        card: of the model.
    """

    plan: Plan
    without: frozenset[int]
    outline: OutlineOptions
    card: Card


def prepare(
    ledger: Ledger, out: Path, names: Sequence[str], options: MosaicOptions, progress: Progress
) -> Prepared:
    """Look at all files and lay out the blocks; the ledger keeps what was found.

    Raises:
        BuildextError: the model, the names or the options cannot be used.
    """
    extract = options.extract
    card = load_model(extract.model).card
    tile_px, overlap_px = tile_sizes(card, extract)
    scene = scene_options(card, extract)
    field = None if options.order in (NEWEST, GIVEN, NADIR) else options.order
    area = None if options.aoi is None else read_area(options.aoi)
    listing = Listing(extract.allow_remote, field, options.asset, without=out)
    inputs = list_inputs(names, listing)
    numbers = ledger.register([one.name for one in inputs])
    files = in_order(survey(inputs, scene, progress), options.order)
    bad = _known_damage(ledger, files) | {file.name: file.note for file in files if file.note}
    readable = [file for file in files if file.source is not None]
    if not readable:
        raise SceneError(
            f"none of {len(files)} files can be used; the first: {files[0].note}",
            hint="see `buildext extract` on one of them for what to do",
        )
    wish = Wish(
        options.crs,
        extract.gsd_m,
        (card.gsd.min_m, card.gsd.max_m),
        tile_px,
        overlap_px,
        options.block_px,
        card.channels,
    )
    lattice = _lattice(ledger, readable, wish)
    stretches = _stretches(ledger, readable, bad, scene)
    polygons = None if area is None else area.in_crs(lattice.grid.crs)
    plan, misplaced = make_plan(readable, numbers, lattice, stretches, card, extract, polygons)
    bad |= misplaced
    ledger.note_sources([(_row(file, numbers[file.name], bad), file.fingerprint) for file in files])
    for note in bad.values():
        progress.note(f"left out: {note}")
    outline = OutlineOptions(
        separation_options(card, extract, lattice.grid.gsd_m), extract.shape, card.label_kind
    )
    without = frozenset(numbers[name] for name in bad)
    return Prepared(plan, without, outline, card)


def _known_damage(ledger: Ledger, files: Sequence[Surveyed]) -> dict[str, str]:
    """Notes on files in which an earlier run found damage, and which are the same still."""
    before = ledger.fingerprints()
    notes = {row.name: row.note for row in ledger.sources() if row.state == "damaged"}
    return {
        file.name: notes[file.name]
        for file in files
        if file.name in notes and before[file.name] == file.fingerprint
    }


def _lattice(ledger: Ledger, files: Sequence[Surveyed], wish: Wish) -> Lattice:
    wished = digest(asdict(wish))
    stored = ledger.fact("lattice")
    if stored is not None and stored["wish"] == wished:
        return Lattice.from_json(stored)
    # In the order of their names: what takes precedence where has no say in it.
    named = sorted(files, key=lambda file: file.name)
    lattice = choose_lattice([_source(file) for file in named], wish)
    ledger.set_fact("lattice", {**lattice.to_json(), "wish": wished})
    return lattice


def _stretches(
    ledger: Ledger, files: Sequence[Surveyed], bad: dict[str, str], options: SceneOptions
) -> dict[str, Stretch]:
    """The stretch of each sensor group; adds to `bad` what turns out to be damaged."""
    asked = f"{options.scale} {options.percentiles} {options.nodata}"
    kept: dict[str, Any] = ledger.fact("stretches") or {}
    groups: dict[str, list[Surveyed]] = {}
    for file in sorted(files, key=lambda file: file.name):
        groups.setdefault(file.group, []).append(file)
    found = {}
    for group, members in groups.items():
        name = f"{group} · {asked}"
        if name not in kept:
            stretch = _stretch(members, bad, options)
            kept[name] = {**stretch.describe(), "files": len(members)}
            log.info("%s: %s", group, stretch)
        one = kept[name]
        found[group] = Stretch(tuple(one["low"]), tuple(one["high"]), one["method"])
    ledger.set_fact("stretches", kept)
    return found


def _stretch(members: Sequence[Surveyed], bad: dict[str, str], options: SceneOptions) -> Stretch:
    """A group's stretch from those of its files that can be read."""
    while True:
        sound = [_source(file) for file in members if file.name not in bad]
        try:
            return group_stretch(sound or [_source(members[0])], options)
        except DamagedSceneError as error:
            if not sound:
                # Nothing of the group will be read.
                channels = _source(members[0]).channels
                return Stretch((0.0,) * channels, (1.0,) * channels, "given")
            bad[error.file] = str(error)


def _source(file: Surveyed) -> Source:
    assert file.source is not None  # damaged files were sorted out
    return file.source


def _row(file: Surveyed, number: int, bad: Mapping[str, str]) -> SourceRow:
    note = bad.get(file.name, "")
    group = "" if file.source is None else file.group
    state: SourceState = "damaged" if note else "used"
    return SourceRow(number, file.name, state, note, file.given.acquired, group)


def without_files(prepared: Prepared, numbers: frozenset[int]) -> Prepared:
    """The same without some more files."""
    return replace(prepared, without=prepared.without | numbers)
