"""Fine-tuning on a place: a model, a scene and some corrected buildings in, a better model out.

    drawing -> patches -> known pixels -> held-out end -> training -> half-way back -> model, report

The training is the method `adapt` (see `methods.adapt`): the labels where they are known, the
model's own opinion elsewhere. Its result is then mixed with the weights that it began with,

    weights = before + strength · (after − before)

which keeps most of the gain and loses less of what was known before (WiSE-FT, Wortsman et al.,
CVPR 2022). With enough labels those at one end of the drawing are held out and never learned from;
the model that is delivered is scored on them beside the one that it came from.

The output folder holds `model/`, `data/` (what was learned from, an ordinary dataset that
`buildext train` takes), `run/` (config, provenance and log of the training) and `report.json`.
"""

from __future__ import annotations

import copy
import json
import logging
import re
import shutil
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from buildext.errors import InputError, OutputExistsError
from buildext.grid.window import Window
from buildext.learn.training.config import (
    AugmentSection,
    MachineSection,
    MethodSection,
    NetworkSection,
    SamplingSection,
    ScheduleSection,
    SplitSection,
    TrainingConfig,
)
from buildext.learn.training.data.scenes import LabelledScene
from buildext.learn.training.engine.builder import build_sight, continue_model
from buildext.learn.training.engine.monitor import THRESHOLD, f1
from buildext.learn.training.engine.predict import predict_scene
from buildext.learn.training.engine.sight import Sight
from buildext.learn.training.engine.workshop import PHASES
from buildext.learn.training.finetuning.drawn import (
    RING_M,
    Drawing,
    Patch,
    choose_held_out,
    cut_patches,
    known_around,
    read_drawing,
    split_patch,
    widened,
)
from buildext.learn.training.finetuning.patches import DATASET, write_patches
from buildext.learn.training.finetuning.tuned import add_scores, mix, tuned_weights, write_model
from buildext.learn.training.run import run_config
from buildext.models.store import Model, load_model
from buildext.progress import Progress
from buildext.scene import Scene, SceneOptions, open_scene

log = logging.getLogger(__name__)

REPORT_FILE = "report.json"
MODEL, DATA, RUN = "model", "data", "run"
# With fewer, the report warns that they teach and prove little.
FEW_LABELS = 5
# From here on some can be spared for the test.
MIN_TO_HOLD_OUT = 12
# How much coarser than anything that the model has seen a scene may be.
MAX_COARSER = 1.5
# What the network sees around the pixels that it is asked for.
SURROUNDINGS_M = 8.0
# Resolutions of the tiles as shares of the scene's.
SCALES = (0.8, 1.6)


@dataclass(frozen=True, slots=True)
class FinetuneOptions:
    """How a model is fine-tuned.

    Attributes:
        model: bundled name or folder of the model to begin with.
        area: vector file inside which all buildings are drawn; None: not said.
        steps: of the optimiser.
        strength: how far to go from the old weights (0) to the fine-tuned ones (1).
        hold_out: share of the labels for the test, where there are `MIN_TO_HOLD_OUT` of them.
        licence: of the labels, for the model's card.
        seed: of everything that is drawn at random.
        threads: of the processor; 0 takes all.
    """

    model: str = "default"
    area: Path | None = None
    steps: int = 40
    strength: float = 0.5
    hold_out: float = 0.25
    licence: str = "not stated"
    seed: int = 0
    threads: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """Scores on what was held out.

    Attributes:
        f1, precision, recall: of pixels, where labels are known.
        buildings: mean share of the buildings' own pixels that are found.
    """

    f1: float
    precision: float
    recall: float
    buildings: float


@dataclass(frozen=True, slots=True)
class FinetuneReport:
    """What came of it.

    Attributes:
        model: folder of the new model.
        started_from: name of the old one.
        learned, held_out: numbers of labels.
        before, after: scores on those held out; None without any.
        steps, strength: as asked for.
        seconds: from reading to the finished model.
        warnings: what the user should know.
    """

    model: str
    started_from: str
    learned: int
    held_out: int
    before: Held | None
    after: Held | None
    steps: int
    strength: float
    seconds: float
    warnings: tuple[str, ...]


def finetune(
    scene: Sequence[Path],
    labels: Path,
    out: Path,
    options: FinetuneOptions,
    *,
    overwrite: bool,
    progress: Progress,
) -> FinetuneReport:
    """Fine-tune a model on labels in a scene.

    Args:
        scene: files or folders of one scene.
        labels: a vector file, one polygon a building.
        out: folder that appears when all is done.
        options: see `FinetuneOptions`.
        overwrite: replace `out` where an earlier fine-tuning left it.
        progress: told each step.

    Raises:
        OutputExistsError: there is something at `out`.
        InputError, ModelError: scene, labels or model cannot be used.
    """
    _check_out(out, overwrite)
    started = time.monotonic()
    model = load_model(options.model)
    work = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}")
    work.mkdir(parents=True)
    try:
        report = _finetune(model, scene, labels, work, options, progress)
        report = replace(
            report, model=str(out / MODEL), seconds=round(time.monotonic() - started, 1)
        )
        values = json.dumps(asdict(report), indent=2) + "\n"
        (work / REPORT_FILE).write_text(values, encoding="utf-8")
        if overwrite and out.exists():
            shutil.rmtree(out)
        work.replace(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return report


def _finetune(
    model: Model,
    paths: Sequence[Path],
    labels: Path,
    work: Path,
    options: FinetuneOptions,
    progress: Progress,
) -> FinetuneReport:
    """All of it, into the folder `work`."""
    if options.threads:
        torch.set_num_threads(options.threads)
    section = continue_model(NetworkSection(), options.model)
    start = build_sight(section, options.seed, torch.float32, options.model)
    card = model.card
    wanted = SceneOptions(
        gsd_range_m=(card.gsd.min_m, card.gsd.max_m),
        n_bands=len(card.bands),
        percentiles=card.percentiles,
        fill=card.fill,
    )
    with open_scene(paths, wanted) as scene:
        _check_gsd(scene, model)
        drawing = read_drawing(labels, options.area, scene)
        patches = cut_patches(scene, drawing, DATASET)
        crs, gsd_m = scene.crs, scene.gsd_m
        spared, notes = _spared(drawing, scene, options)
    if drawing.areas is None:
        patches = [_with_known(patch, start) for patch in patches]
    splits = [split_patch(patch, spared) for patch in patches]
    learned = [kept for kept, _ in splits if kept.scene.counted.any()]
    tested = [other.scene for _, other in splits if other.scene.counted.any()]
    if not learned:
        raise InputError(
            "got labels of which no pixel can be learned from: the scene has no data there",
            hint="draw on parts of the scene that have an image",
        )
    names = ", ".join(path.name for path in paths)
    title = f"{np.count_nonzero(~spared)} buildings on {names}"
    write_patches(work / DATA, learned, drawing.buildings[~spared], crs, title, options.licence)
    config = make_config(f"{card.name}-{_plain(paths[0].stem)}", gsd_m, options)
    run_config(config, work, work / RUN, resume=False, progress=progress, export=False)
    after, _ = tuned_weights(work / RUN)
    tuned = copy.deepcopy(start)
    state = mix(start.network.state_dict(), after, options.strength)
    tuned.network.load_state_dict(state)
    write_model(work / MODEL, tuned.network, section, model, work / RUN)
    # The optimiser's state is several times the model's size and of no use any more.
    shutil.rmtree(work / RUN / PHASES)
    old = new = None
    if spared.any():
        old, new = (score(sight, tested) for sight in (start, tuned))
        add_scores(work / MODEL, config.name, {"before": old.f1, "after": new.f1})
        if new.f1 <= old.f1:
            notes.append("no gain on the labels that were held out: keep the model you had")
    for note in notes:
        log.warning("%s", note)
    return FinetuneReport(
        model="",
        started_from=card.name,
        learned=int(np.count_nonzero(~spared)),
        held_out=int(np.count_nonzero(spared)),
        before=old,
        after=new,
        steps=options.steps,
        strength=options.strength,
        seconds=0.0,
        warnings=tuple(notes),
    )


def make_config(name: str, gsd_m: float, options: FinetuneOptions) -> TrainingConfig:
    """The training that a fine-tuning is; its dataset lies in `data/`."""
    return TrainingConfig(
        name=name,
        seed=options.seed,
        datasets=(DATA,),
        start=options.model,
        method=MethodSection(kind="adapt", distillation=3.0, temperature=1.0),
        sampling=SamplingSection(
            gsd_m=(SCALES[0] * gsd_m, SCALES[1] * gsd_m),
            max_upsampling=1 / SCALES[0],
            empty_tiles=1.0,
        ),
        split=SplitSection(hold_out=0.0),
        augment=AugmentSection(strength=0.7),
        schedule=ScheduleSection(
            steps=options.steps,
            batch=4,
            learning_rate=4e-4,
            weight_decay=0.0,
            warm_up_steps=5,
            checkpoint_every=options.steps,
        ),
        machine=MachineSection(device="cpu", precision="float32", threads=options.threads),
    )


def score(sight: Sight, scenes: Sequence[LabelledScene]) -> Held:
    """Pixel scores over the known pixels of scenes, each looked at in its own resolution."""
    counts = np.zeros(3)
    found_share: list[float] = []
    for scene in scenes:
        seen = look_at(sight, scene, scene.counted) > THRESHOLD
        found, truth = seen & scene.counted, (scene.labels > 0) & scene.counted
        counts += [np.count_nonzero(found & truth), found.sum(), truth.sum()]
        labels = scene.labels[truth]
        size = np.bincount(labels)
        hit = np.bincount(labels[seen[truth]], minlength=len(size))
        found_share += (hit[size > 0] / size[size > 0]).tolist()
    true_positive, predicted, actual = counts.tolist()
    return Held(
        f1=round(f1(true_positive, predicted, actual), 4),
        precision=round(true_positive / max(predicted, 1), 4),
        recall=round(true_positive / max(actual, 1), 4),
        buildings=round(float(np.mean(found_share)), 4),
    )


def look_at(sight: Sight, scene: LabelledScene, where: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Probability of a building, `(H, W)` on the scene's grid; 0 far from `where`."""
    seen = np.zeros(where.shape, np.float32)
    if not where.any():
        return seen
    rows, cols = (np.flatnonzero(where.any(axis=axis)) for axis in (1, 0))
    window = Window(
        int(rows[0]), int(cols[0]), int(np.ptp(rows)) + 1, int(np.ptp(cols)) + 1
    ).padded(round(SURROUNDINGS_M / scene.gsd_m))
    area = window.intersection(Window(0, 0, *where.shape))
    assert area is not None
    part = replace(
        scene,
        image=np.ascontiguousarray(scene.image[area.slices]),
        labels=scene.labels[area.slices],
        valid=scene.valid[area.slices],
        known=scene.known[area.slices],
    )
    seen[area.slices] = predict_scene(sight, part, scene.gsd_m)
    return seen


def _with_known(patch: Patch, sight: Sight) -> Patch:
    """The patch with its labels known where the model and the drawing say so."""
    scene = patch.scene
    ring = widened(scene.labels > 0, RING_M / scene.gsd_m)
    seen = look_at(sight, scene, ring)
    return replace(patch, scene=replace(scene, known=known_around(scene, seen)))


def _spared(
    drawing: Drawing, scene: Scene, options: FinetuneOptions
) -> tuple[NDArray[np.bool_], list[str]]:
    """Which outlines are held out, and what the user should know."""
    count = len(drawing.buildings)
    notes = []
    if count < FEW_LABELS:
        notes.append(f"{count} labels teach little; about twenty are worth the time")
    if not options.hold_out:
        return np.zeros(count, np.bool_), notes
    if count < MIN_TO_HOLD_OUT:
        notes.append(
            f"{count} labels are too few to hold some out, so nothing says whether the model "
            f"got better; draw {MIN_TO_HOLD_OUT} or more"
        )
        return np.zeros(count, np.bool_), notes
    return choose_held_out(drawing, scene, options.hold_out), notes


def _check_gsd(scene: Scene, model: Model) -> None:
    """Refuse pixels in which this model cannot see a building."""
    coarsest_m = model.card.gsd.max_m
    if scene.native_gsd_m > MAX_COARSER * coarsest_m:
        raise InputError(
            f"got a scene of {scene.native_gsd_m:.3g} m per pixel; the model {model.card.name} was "
            f"trained on {model.card.gsd.min_m:g} to {coarsest_m:g} m",
            hint="take a finer scene, or a model for this resolution",
        )


def _check_out(out: Path, overwrite: bool) -> None:
    """Only what an earlier fine-tuning left may be replaced."""
    if not out.exists():
        return
    if not overwrite:
        raise OutputExistsError(
            f"the output {out} exists already", hint="use --overwrite or choose another name"
        )
    if not (out / REPORT_FILE).is_file():
        raise OutputExistsError(
            f"got the output {out}, which no fine-tuning has written; it is not replaced",
            hint="choose another name",
        )


def _plain(text: str) -> str:
    """`text` as a part of a model's name."""
    return re.sub(r"[^a-z0-9_.]+", "_", text.lower()).strip("_") or "place"
