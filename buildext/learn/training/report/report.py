"""The page: what a run was told to do, how it went, how well it does and where it fails."""

from __future__ import annotations

import heapq
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from buildext.atomic import atomic_path
from buildext.errors import MissingInputError
from buildext.learn.training.engine.log import HELD_OUT
from buildext.learn.training.engine.monitor import is_error
from buildext.learn.training.report.calibration import Reliability, draw_reliability
from buildext.learn.training.report.curves import Curve, draw_curves, read_curves
from buildext.learn.training.report.worst import JudgedTile, show_tile
from buildext.learn.training.tiles.tensors import Batch
from buildext.models.card import OFFSET_CHANNELS
from buildext.page.document import (
    Row,
    document,
    facts,
    figure,
    number_cell,
    table,
    text_cell,
)

REPORT_FILE = "report.html"
WORST = 12
_HASH_LENGTH = 12


def write_training_report(
    folder: Path,
    predict: nn.Module,
    channels: Sequence[str],
    monitor: Mapping[str, Sequence[Batch]],
    device: torch.device,
) -> Path:
    """Write `report.html` into the folder of a run.

    Args:
        folder: holds the run's `log.csv`, `config.json` and `provenance.json`.
        predict: uint8 `(N, 3, H, W)` on `device` to float logits `(N, K, H, W)`; put in evaluation
            mode here.
        channels: names of the K channels; the first is the one whose worst tiles are shown.
        monitor: held-out tiles by dataset.
        device: where `predict` lies.

    Returns:
        The page's path; an older page is replaced.

    Raises:
        MissingInputError: the folder holds no run.
    """
    curves = read_curves(folder)
    config, provenance = (_read(folder / f) for f in ("config.json", "provenance.json"))
    worst, counts = judge_tiles(predict, channels, monitor, device)
    parts = [
        f"<h1>Training report: {html.escape(str(config.get('name', folder.name)))}</h1>",
        _facts(config, curves),
        "<h2>Curves</h2>",
        figure(
            draw_curves(curves, "curves"),
            "Left: training loss and its parts, faint lines unsmoothed. Middle: pixel F1 on "
            "held-out blocks, which the training never sees. Right: the learning rate.",
        ),
        "<h2>Held-out scores</h2>",
        _scores(curves),
    ]
    if worst:
        parts += [
            "<h2>Calibration</h2>",
            figure(
                draw_reliability(counts, "calibration"),
                "Share of true pixels against the predicted probability, over all known pixels of "
                "the held-out tiles; on the dashed line a network means what it says. Bars: number "
                "of pixels, on a logarithmic scale. ECE: expected calibration error.",
            ),
            "<h2>Worst tiles</h2>",
            f"<p>The held-out tiles with most wrong pixels of <b>{html.escape(channels[0])}</b>: "
            "image, labels, probability (violet 0 to yellow 1), and errors: "
            '<b style="color:#e07b39">orange</b> is found but not labelled, '
            '<b style="color:#3a86c8">blue</b> labelled but not found, white both, dark neither, '
            "grey unknown.</p>",
            f'<div class="tiles">{"".join(show_tile(tile) for tile in worst)}</div>',
        ]
    else:
        parts.append("<p>Nothing is held out, so there is no calibration and no worst tile.</p>")
    parts += ["<h2>Provenance</h2>", _provenance(config, provenance)]
    page = folder / REPORT_FILE
    with atomic_path(page, overwrite=True) as temporary:
        text = document(f"Training report: {config.get('name', folder.name)}", "\n".join(parts))
        temporary.write_text(text, encoding="utf-8")
    return page


@torch.no_grad()
def judge_tiles(
    predict: nn.Module,
    channels: Sequence[str],
    monitor: Mapping[str, Sequence[Batch]],
    device: torch.device,
) -> tuple[list[JudgedTile], dict[str, Reliability]]:
    """The worst tiles of the first channel, the worst one first, and counts for calibration.

    Only the worst tiles found so far are kept in memory.
    """
    predict.eval()
    # A step is no probability.
    counts = {c: Reliability() for c in channels if c not in OFFSET_CHANNELS}
    worst: list[tuple[float, int, JudgedTile]] = []
    order = 0
    for dataset, batches in monitor.items():
        for number, batch in enumerate(batches):
            logits = predict(batch["image"][None].to(device))[0]
            probability = torch.sigmoid(logits.float()).cpu().numpy()
            known = batch["weight"].numpy() > 0
            truth = batch["target"].numpy() > 0
            for k, channel in enumerate(channels):
                if channel not in counts:
                    continue
                counts[channel].add(probability[k][known[k]], truth[k][known[k]])
            image = np.ascontiguousarray(np.moveaxis(batch["image"].numpy(), 0, -1))
            tile = JudgedTile(dataset, number, image, truth[0], known[0], probability[0])
            if known[0].any():
                # Of two equal tiles the earlier one wins; tiles themselves have no order.
                order -= 1
                heapq.heappush(worst, (tile.wrong, order, tile))
                if len(worst) > WORST:
                    heapq.heappop(worst)
    return [tile for _, _, tile in sorted(worst, key=lambda t: t[:2], reverse=True)], counts


def _facts(config: Mapping[str, Any], curves: Mapping[str, Curve]) -> str:
    network = config.get("network", {})
    rows = [
        ("encoder", str(network.get("encoder", "?"))),
        ("decoder", str(network.get("decoder", "?"))),
        ("method", str(config.get("method", {}).get("kind", "supervised"))),
        ("seed", str(config.get("seed", "?"))),
        ("steps", str(max((c[-1][0] for c in curves.values()), default=0))),
        ("batch", str(config.get("schedule", {}).get("batch", "?"))),
    ]
    for name, curve in curves.items():
        if name.startswith(f"{HELD_OUT}mean/"):
            what = "error" if is_error(name) else "F1"
            rows.append((f"held-out {what}, {name.rpartition('/')[2]}", f"{curve[-1][1]:.3f}"))
    if "tiles_s" in curves:
        rows.append(("speed", f"{curves['tiles_s'][-1][1]:.1f} tiles/s"))
    return facts(rows)


def _scores(curves: Mapping[str, Curve]) -> str:
    rows = []
    for name, curve in curves.items():
        if name.startswith(HELD_OUT):
            choose = min if is_error(name) else max
            step, best = choose(curve, key=lambda point: point[1])
            dataset, _, channel = name.removeprefix(HELD_OUT).rpartition("/")
            last = curve[-1][1]
            cells = [text_cell(dataset), text_cell(channel), number_cell(last, f"{last:.4f}")]
            cells += [number_cell(best, f"{best:.4f}"), number_cell(step, str(step))]
            rows.append(Row(cells))
    if not rows:
        return "<p>The log holds no held-out score.</p>"
    heads = ["dataset", "channel", "last F1 or error", "best", "at step"]
    return table(heads, rows, sortable=True)


def _provenance(config: Mapping[str, Any], provenance: Mapping[str, Any]) -> str:
    rows = [Row([text_cell("revision"), text_cell(str(provenance.get("git_revision") or "none"))])]
    for package, version in provenance.get("packages", {}).items():
        rows.append(Row([text_cell(package), text_cell(version)]))
    for name, digest in provenance.get("data_sha256", {}).items():
        rows.append(Row([text_cell(name), text_cell(f"sha256 {digest[:_HASH_LENGTH]}…")]))
    data = [
        Row(
            [
                text_cell(d["name"]),
                text_cell(d["licence"], "text wrap"),
                text_cell(d.get("attribution", ""), "text wrap"),
            ]
        )
        for d in provenance.get("datasets", [])
    ]
    shown = html.escape(json.dumps(config, indent=1))
    return (
        table(["dataset", "licence", "attribution"], data)
        + "<details><summary>Versions and files</summary>"
        + f"{table(['what', 'which'], rows)}</details>"
        + f"<details><summary>Config</summary><pre>{shown}</pre></details>"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingInputError(
            f"got no file at {path}; expected the folder of a run", hint="check the path"
        ) from error
    return values
