"""What a search leaves behind: a model, a config to train it further, and a study to believe it.

A score of a short training with one seed is a hint. `study.toml` puts the finalists and the
hand-designed encoders that are as fast through the same training, three seeds each; `buildext
study` does it and says what is shown and what is not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from buildext.atomic import atomic_path
from buildext.learn.search.candidate import Candidate
from buildext.learn.search.config import SearchConfig
from buildext.learn.search.trainings import Trainer
from buildext.learn.training.config import DATA_VARIABLE, TrainingConfig, resolve_path
from buildext.learn.training.run import export_run
from buildext.models.card import NetworkSpec
from buildext.models.store import load_model, write_model_card

STUDY_FILE, BEST_FILE, MODEL_FOLDER = "study.toml", "best.toml", "model"
SEEDS = [0, 1, 2]


def write_best(folder: Path, config: SearchConfig, trainer: Trainer, best: Candidate) -> None:
    """Write the best network as a model folder, and its training config."""
    steps = config.budget.final_steps
    job = trainer.job(best.key, best.network, steps)
    values = portable(job.config, trainer.base) | {"name": config.name}
    head = f"# The best network of the search {config.name!r}: {best.label}\n"
    _write(folder / BEST_FILE, head + toml(values))
    out = folder / MODEL_FOLDER
    export_run(job.folder, out)
    card = load_model(str(out)).card
    record = {
        "name": config.name,
        "constraints": config.constraints.model_dump(mode="json", exclude_none=True),
        "engine": f"{best.engine}, {config.engine.tile_px} px",
        "latency_ms": best.latency_ms,
        "parameters": best.parameters,
        "macs": best.macs,
        "int8_share": best.int8_share,
        "turn": best.turn,
    }
    card = card.model_copy(
        update={"name": config.name, "training": {**card.training, "search": record}}
    )
    write_model_card(out, card)


def write_study(
    folder: Path,
    config: SearchConfig,
    trainer: Trainer,
    finalists: Sequence[Candidate],
    references: Sequence[Candidate],
) -> None:
    """Write a study of finalists and of the hand-designed networks that keep the constraints."""
    rivals = [c for c in references if c.status == "done"]
    arms = []
    for place, candidate in enumerate([*finalists, *rivals], start=1):
        found = f"found {place}" if candidate in finalists else candidate.label
        spec = candidate.network.model_dump(mode="json")
        network = {f"network.{name}": value for name, value in spec.items()}
        arms.append({"label": f"{found}, {candidate.latency_ms:.1f} ms", **network})
    base = portable(trainer.config(finalists[0].network, config.budget.final_steps), trainer.base)
    kept = base.pop("network", {})
    base["network"] = {k: v for k, v in kept.items() if k not in NetworkSpec.model_fields}
    # The study has its own name and its own seeds.
    del base["name"]
    base.pop("seed", None)
    values: dict[str, Any] = {
        "study": {
            "name": f"{config.name}-finalists",
            "title": f"{config.title or config.name}: finalists against hand-designed encoders",
            "seeds": SEEDS,
            "metric": config.budget.metric,
        },
        "base": base,
        "stages": [
            {
                "name": "networks of equal latency",
                "reference": arms[0]["label"],
                "factors": {"network": arms},
            }
        ],
    }
    _write(folder / STUDY_FILE, toml(values))


def portable(config: TrainingConfig, base: Path) -> dict[str, Any]:
    """A config as plain values that mean the same wherever the file lies; defaults left out."""
    values = config.model_dump(mode="json", exclude_defaults=True)
    values["datasets"] = [str(resolve_path(text, base, "dataset")) for text in config.datasets]
    if config.data_root != f"${DATA_VARIABLE}":
        values["data_root"] = str(resolve_path(config.data_root, base, "data root"))
    return values


def toml(values: Mapping[str, Any], path: tuple[str, ...] = ()) -> str:
    """Nested values as TOML: plain ones first, then tables, and tables of an `[[array]]`."""
    lines, tables = [], []
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, Mapping):
            tables.append((name, value, False))
        elif name == "stages":
            tables += [(name, one, True) for one in value]
        else:
            lines.append(f"{_key(name)} = {_value(value)}")
    text = "\n".join(lines) + ("\n" if lines else "")
    for name, table, many in tables:
        inner = (*path, _key(name))
        brackets = ("[[", "]]") if many else ("[", "]")
        text += f"\n{brackets[0]}{'.'.join(inner)}{brackets[1]}\n{toml(table, inner)}"
    return text


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() else json.dumps(name)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        texts = [_value(one) for one in value]
        if any(isinstance(one, Mapping) for one in value):
            return "[\n" + "".join(f"    {text},\n" for text in texts) + "]"
        return f"[{', '.join(texts)}]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def _write(path: Path, text: str) -> None:
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(text, "utf-8")
