"""A whole run: config -> scenes -> network -> method -> exported model.

The output folder holds all that is needed to understand the run, resume it or make it again:

| file | content |
|---|---|
| `config.json` | the resolved config |
| `provenance.json` | git revision, package versions, sha256 of every image and label file |
| `phases/*/checkpoint.safetensors` | the state of each phase after the last saved step |
| `log.csv`, `tensorboard/` | losses and held-out scores |
| `report.html` | curves, scores, worst tiles and calibration, for reading |
| `result.json` | scores, cost and size, once the run is done |
| `model/` | `card.json` and `model.onnx`, as `buildext extract --model` takes them |
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from buildext.atomic import atomic_path
from buildext.errors import MissingInputError, ModelError, OutputExistsError, UsageError
from buildext.learn.networks.build import build_network
from buildext.learn.networks.loading import load_strictly
from buildext.learn.networks.macs import count_macs
from buildext.learn.training.config import TrainingConfig, check_config, load_config
from buildext.learn.training.engine.builder import build_sight, continue_model, settle
from buildext.learn.training.engine.checkpoint import load_mean
from buildext.learn.training.engine.fit import KEPT_NETWORK
from buildext.learn.training.engine.log import last_scores
from buildext.learn.training.engine.pool import Pool, SceneCache, read_pool
from buildext.learn.training.engine.precision import precision_of, warn_if_emulated
from buildext.learn.training.engine.workshop import CHECKPOINT, PHASES, Workshop, make_accelerator
from buildext.learn.training.methods.table import METHODS
from buildext.learn.training.provenance import (
    fingerprint_of,
    git_revision,
    hash_file,
    package_versions,
)
from buildext.learn.training.report import write_training_report
from buildext.models.store import load_model
from buildext.progress import Progress, SilentProgress

CONFIG_FILE = "config.json"
PROVENANCE_FILE = "provenance.json"
RESULT_FILE = "result.json"
# What may change between two parts of a run: where it runs.
MAY_CHANGE: dict[str, Any] = {
    "machine": True,
    "data_root": True,
    "datasets": True,
    "network": {"weights_origin", "weights"},
}
MACS_SIDE_PX = 256


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a finished run came to.

    Attributes:
        status: `done`.
        method: how labels were used.
        scores: pixel F1 by `dataset/channel` on what was held out for monitoring, and by
            `test/dataset/channel` and `test/channel` (mean over datasets) on the test blocks.
        steps: of the optimiser, over all phases.
        seconds: of wall time, reading not counted; with what was spent before it was resumed, and
            on phases taken up from other runs.
        tiles_s: tiles trained a second in the last phase; nan where it was done before.
        parameters: of the network that is kept.
        macs_256: its multiply-accumulate operations on one image of 256 x 256 pixels.
    """

    status: str
    method: str
    scores: dict[str, float]
    steps: int
    seconds: float
    tiles_s: float
    parameters: int
    macs_256: int


def train(config_path: Path, out: Path, *, resume: bool, progress: Progress) -> RunResult:
    """Run the config in a file; see `run_config`."""
    config = load_config(config_path)
    base = config_path.resolve().parent
    return run_config(config, base, out, resume=resume, progress=progress)


def run_config(
    config: TrainingConfig,
    base: Path,
    out: Path,
    *,
    resume: bool,
    progress: Progress,
    export: bool = True,
    cache: SceneCache | None = None,
    common: Path | None = None,
) -> RunResult:
    """Train as a config says.

    Args:
        config: what to do.
        base: what its paths are relative to.
        out: folder of the run.
        resume: go on from the checkpoints in `out`.
        progress: told each step.
        export: write `model/` at the end.
        cache: scenes read by earlier runs of this process.
        common: folder of phases that several runs have in common; see `engine.common`.

    Raises:
        UsageError, InputError, ModelError: see the parts; nothing is trained then.
        OutputExistsError: `out` holds a run and `resume` is false.
    """
    if (out / PHASES).exists() and not resume:
        raise OutputExistsError(
            f"the folder {out} holds a run already", hint="use --resume or choose another --out"
        )
    config = resolved(config, base)
    accelerator = make_accelerator(config)
    if not accelerator.is_main_process:
        progress = SilentProgress()
    precision = precision_of(config.machine, accelerator.device)
    warn_if_emulated(precision, accelerator.device)
    sight = build_sight(config.network, config.seed, precision, config.start)
    pool = read_pool(config, base, progress, cache)
    fingerprint = _record(config, pool, out, resume) if accelerator.is_main_process else ""
    shop = Workshop(
        config, pool, out, fingerprint, accelerator, progress, resume, sight, common=common
    )
    started = time.monotonic()
    kept = METHODS[config.method.kind](shop)
    scores = shop.validate(kept)
    scores |= {_test_name(k): v for k, v in shop.score(kept, pool.test).items()}
    result = RunResult(
        status="done",
        method=config.method.kind,
        scores=scores,
        steps=shop.steps,
        seconds=shop.earlier_s + time.monotonic() - started,
        tiles_s=shop.tiles_s,
        parameters=sum(p.numel() for p in kept.network.parameters()),
        macs_256=count_macs(kept.network, MACS_SIDE_PX, MACS_SIDE_PX),
    )
    if accelerator.is_main_process:
        channels = kept.network.channels
        write_training_report(out, kept, channels, pool.monitor, accelerator.device)
        _write_json(out / RESULT_FILE, asdict(result))
        if export:
            export_run(out, out / "model")
    return result


def export_run(run: Path, out: Path) -> None:
    """Export the running mean of a run's last phase, finished or not, as a model folder.

    Raises:
        MissingInputError: `run` is no folder of a run.
        ModelError: there is no checkpoint, or the export does not agree with torch.
    """
    from buildext.learn.compress.export import export_onnx
    from buildext.learn.training.describe import describe_run
    from buildext.models.store import WEIGHTS_NAME, write_model_card

    config = check_config(_read_json(run / CONFIG_FILE), str(run / CONFIG_FILE))
    network = build_network(config.network.spec(), config.network.channels)
    found = sorted((run / PHASES).glob(f"*/{CHECKPOINT}"))
    if not found:
        raise ModelError(f"got no checkpoint in {run}", hint="wait for the first one")
    tensors, steps = load_mean(found[-1])
    kept = {
        k.removeprefix(KEPT_NETWORK): v for k, v in tensors.items() if k.startswith(KEPT_NETWORK)
    }
    load_strictly(network, kept, str(found[-1]))
    out.mkdir(parents=True, exist_ok=True)
    check = export_onnx(network, config.network.normalisation(), out / WEIGHTS_NAME)
    provenance = _read_json(run / PROVENANCE_FILE)
    card = describe_run(config, provenance, steps, network.stride_divisor, check, last_scores(run))
    write_model_card(out, card)


def resolved(config: TrainingConfig, base: Path) -> TrainingConfig:
    """The config with weights' paths and constants and a starting model's network filled in."""
    network = settle(config.network, base)
    if config.start:
        network = continue_model(network, config.start)
        range_m = load_model(config.start).card.offset_range_m
        if range_m not in (None, config.loss.offset_range_m):
            raise UsageError(
                f"got loss.offset_range_m = {config.loss.offset_range_m:g}; the channels of "
                f"{config.start} have {range_m:g} m",
                hint=f"set it to {range_m:g}",
            )
    teacher = config.teacher and settle(config.teacher, base)
    return config.model_copy(update={"network": network, "teacher": teacher})


def _record(config: TrainingConfig, pool: Pool, out: Path, resume: bool) -> str:
    """Write the config and where everything comes from; returns the run's fingerprint."""
    hashes = dict(pool.hashes)
    if config.network.weights:
        hashes["weights"] = hash_file(Path(config.network.weights))
    if config.teacher and config.teacher.weights:
        hashes["teacher weights"] = hash_file(Path(config.teacher.weights))
    if config.start:
        # All files count: fine-tuning learns from the tiles beside the weights, too.
        files = load_model(config.start).card.files
        hashes |= {f"start:{name}": digest for name, digest in files.items()}
    learned = config.model_dump(mode="json", exclude=MAY_CHANGE)
    fingerprint = fingerprint_of({"config": learned, "data": hashes})
    revision = git_revision()
    parts = _read_json(out / PROVENANCE_FILE).get("parts", []) if resume and out.exists() else []
    out.mkdir(parents=True, exist_ok=True)
    _write_json(out / CONFIG_FILE, config.model_dump(mode="json"))
    _write_json(
        out / PROVENANCE_FILE,
        {
            "git_revision": revision,
            "parts": [*parts, {"steps": config.schedule.steps, "git_revision": revision}],
            "packages": package_versions(),
            "data_sha256": hashes,
            "datasets": [card.model_dump(mode="json") for card in pool.cards],
            "fingerprint": fingerprint,
        },
    )
    return fingerprint


def _test_name(name: str) -> str:
    return f"test/{name.removeprefix('mean/')}"


def _write_json(path: Path, values: dict[str, Any]) -> None:
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingInputError(
            f"got no file at {path}; expected the folder of a run", hint="check the path"
        ) from error
    return values
