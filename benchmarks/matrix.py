"""Every encoder of the named list under every decoder, and what each encoder costs.

    python -m benchmarks.matrix            # all that is not recorded yet, then the pages
    python -m benchmarks.matrix pairs      # the pairs only, then the pages
    python -m benchmarks.matrix figures    # parameters and MACs of the encoders only
    python -m benchmarks.matrix pages      # write the pages from the records

A pair is put through `pairs.check_pair` at small images. Its record is appended to
`benchmarks/matrix.jsonl` at once, so that an interrupted run goes on where it stopped; the last
record of a pair counts, and pairs that failed are tried again. The pairs run in a process of their
own: one that kills it is a failure and not the end. The order is diagonal: a part of the table
shows every encoder and every decoder.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.papers import measure as measure_papers
from buildext.learn.networks.catalogue import FIGURES, listed_names, measure_figures, write_figures

ROOT = Path(__file__).parents[1]
RECORDS = Path(__file__).with_name("matrix.jsonl")
PARTS = ("all", "pairs", "figures", "pages", "worker")
DONE = ("ok", "refused")


def read_records() -> dict[tuple[str, str], dict[str, Any]]:
    """The last record of each pair."""
    if not RECORDS.exists():
        return {}
    lines = RECORDS.read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return {(row["encoder"], row["decoder"]): row for row in rows}


def diagonal() -> Iterator[tuple[str, str]]:
    """All pairs, every encoder once before any comes again."""
    from buildext.learn.networks.decoders.table import DECODERS

    decoders, encoders = list(DECODERS), listed_names()
    for shift in range(len(decoders)):
        for i, encoder in enumerate(encoders):
            yield encoder, decoders[(i + shift) % len(decoders)]


def measure_encoders() -> None:
    """Parameters, MACs, strides and widths of all listed encoders."""
    write_figures({name: measure_figures(name) for name in listed_names()}, FIGURES)


def run_pairs(workers: int) -> None:
    """Check all pairs without a good record, in workers that are replaced when they die."""
    known = read_records()
    todo = deque(pair for pair in diagonal() if known.get(pair, {}).get("result") not in DONE)
    print(f"{len(todo)} pairs to check", flush=True)
    writing = threading.Lock()
    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(serve, todo, writing) for _ in range(workers)]:
            done.result()


def serve(todo: deque[tuple[str, str]], writing: threading.Lock) -> None:
    """Feed one worker process after the other until nothing is left to do."""
    worker = start_worker()
    while todo:
        encoder, decoder = todo.popleft()
        assert worker.stdin is not None and worker.stdout is not None
        worker.stdin.write(f"{encoder} {decoder}\n")
        worker.stdin.flush()
        line = worker.stdout.readline()
        if line:
            row = json.loads(line)
        else:
            why = f"the process ended with {worker.wait()}"
            row = {"encoder": encoder, "decoder": decoder, "result": "fails", "why": why}
            worker = start_worker()
        with writing, RECORDS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            print(f"{row['result']:8s}{decoder:14s}{encoder:28s}{row.get('why', '')}", flush=True)
    assert worker.stdin is not None
    worker.stdin.close()
    worker.wait()


def start_worker() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.matrix", "worker"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def work() -> None:
    """Check pairs named on standard input, one a line; one JSON object a line comes out."""
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for line in sys.stdin:
        encoder, decoder = line.split()
        sys.stdout.write(json.dumps(check(encoder, decoder)) + "\n")
        sys.stdout.flush()


def check(encoder: str, decoder: str) -> dict[str, Any]:
    """The record of one pair."""
    from benchmarks.pairs import check_pair
    from buildext.errors import ModelError
    from buildext.models.card import NetworkSpec

    row: dict[str, Any] = {"encoder": encoder, "decoder": decoder}
    spec = NetworkSpec(encoder=encoder, decoder=decoder)
    started = time.monotonic()
    try:
        report = check_pair(spec)
    except ModelError as error:
        return {**row, "result": "refused", "why": str(error)}
    except Exception as error:  # whatever it is, it is written down
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        return {**row, "result": "fails", "why": why}
    return {
        **row,
        "result": "ok",
        "parameters": report.parameters,
        "macs": report.macs,
        "onnxruntime": report.onnxruntime,
        "openvino": report.openvino,
        "seconds": round(time.monotonic() - started, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS, nargs="?", default="all")
    parser.add_argument("--workers", type=int, default=1, help="processes that check pairs")
    options = parser.parse_args()
    part = options.part
    if part == "worker":
        work()
        return
    if part in ("all", "figures"):
        measure_encoders()
        measure_papers()
    if part in ("all", "pairs"):
        run_pairs(options.workers)
    from benchmarks.pages import write_pages

    write_pages(list(read_records().values()))


if __name__ == "__main__":
    main()
