"""Running a study: what has no record yet is trained, one run after the other.

    studies/NAME/
      records/<key>.json     one a run: scores, costs, the resolved config
      runs/<key>/            the run's own folder: log, provenance, checkpoint while it is needed
      common/                phases that several runs have in common, while the study goes on
      latency/<key>.json     one a network, from a pass of its own
      table.csv, study.html  made from the records

A study can be killed at any moment. Started again, it skips the runs that have a record, goes on
with the one that has a checkpoint, and does the others. A run that fails is recorded with its
reason and the study goes on; what would fail every run (missing data, a full disk) stops it.
"""

from __future__ import annotations

import gc
import json
import logging
import math
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from buildext.errors import BuildextError, ModelError, OutputError
from buildext.learn.study.baseline import CHANNEL, TRAINING_TILES, Baseline, colour_baseline
from buildext.learn.study.design import Arm, Design, load_design
from buildext.learn.study.latency import LatencyStore, measure_latency
from buildext.learn.study.outcome import (
    PlannedRun,
    StageOutcome,
    judge_stage,
    known_stages,
    plan_stage,
)
from buildext.learn.study.page import PAGE_FILE, write_page
from buildext.learn.study.record import HELD_OUT_SCORE, RecordStore, RunRecord
from buildext.learn.study.table import write_table
from buildext.learn.training.config import TrainingConfig
from buildext.learn.training.engine.pool import SceneCache, read_pool
from buildext.learn.training.run import RESULT_FILE, run_config
from buildext.learn.training.tiles.sampling import TileSampler
from buildext.learn.training.tiles.tensors import as_tensors
from buildext.progress import Progress

log = logging.getLogger(__name__)

TABLE_FILE = "table.csv"
RECORDS, RUNS, COMMON, LATENCIES = "records", "runs", "common", "latency"


class Study:
    """A design and the folder in which it comes to be.

    Args:
        path: of the study's TOML file.
        folder: of its records and runs; made when needed.
        progress: told each step of each run.
    """

    def __init__(self, path: Path, folder: Path, progress: Progress) -> None:
        self.design: Design = load_design(path)
        self.folder = folder
        self.records = RecordStore(folder / RECORDS)
        self.latencies = LatencyStore(folder / LATENCIES)
        self._progress = progress
        self._scenes = SceneCache()
        self._baselines: dict[str, Baseline | None] = {}

    @property
    def page(self) -> Path:
        """Where the page is written."""
        return self.folder / PAGE_FILE

    def run(self, *, retry_failed: bool = False) -> None:
        """Do all runs without a record, stage by stage, and write table and page.

        Args:
            retry_failed: do those again that failed before.

        Raises:
            BuildextError: what would fail every run; or no arm of a stage is fit to go on.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        carried: list[Arm] = []
        for stage in self.design.stages:
            planned = plan_stage(self.design, stage, carried, self.records)
            open_runs = {
                run.key: run
                for run in planned
                if run.record is None or (retry_failed and run.record.status == "failed")
            }
            started = time.monotonic()
            for done, run in enumerate(open_runs.values()):
                head = f"{stage.name}, {done + 1} of {len(open_runs)}"
                if done:
                    mean_s = (time.monotonic() - started) / done
                    head += f", about {_duration((len(open_runs) - done) * mean_s)} left"
                self._progress.note(f"[{head}] {run.arm.label}, seed {run.seed}")
                self._do(run)
                self._write_table()
            self.write_page()
            planned = plan_stage(self.design, stage, carried, self.records)
            outcome = judge_stage(self.design, stage, planned)
            carried = outcome.kept
            if not carried and stage is not self.design.stages[-1]:
                raise ModelError(
                    f"no arm of the stage {stage.name!r} beats a colour threshold with every "
                    f"seed, so the next has nothing to start from; {outcome.results[0].label}: "
                    f"{outcome.results[0].remark}",
                    hint="give the runs more steps or another rate, or name the arms to keep",
                )
        if not self.design.study.keep_checkpoints:
            shutil.rmtree(self.folder / COMMON, ignore_errors=True)

    def plan(self) -> list[str]:
        """What there is to do, a line a stage; nothing is trained or written."""
        known = self._stages()
        lines = []
        for number, stage in enumerate(self.design.stages):
            if number < len(known):
                runs = [run for arm in known[number].results for run in arm.runs.values()]
                done = sum(run is not None for run in runs)
                lines.append(f"{stage.name}: {len(runs)} runs, {len(runs) - done} left")
            else:
                grid = len(self.design.arms(stage.model_copy(update={"reference": ""}), []))
                before = self.design.stages[number - 1].keep
                kept = before if isinstance(before, int) else len(before)
                runs_at_most = grid * kept * len(self.design.seeds(stage))
                lines.append(f"{stage.name}: at most {runs_at_most} runs, not begun")
        return lines

    def measure(self) -> None:
        """Measure the latency of every network of the stages known, if it has none yet."""
        configs: dict[str, TrainingConfig] = {}
        for outcome in self._stages():
            for arm in outcome.arms:
                for seed in self.design.seeds(outcome.section):
                    config = self.design.config(arm, seed)
                    key = network_key(config)
                    if self.latencies.load(key) is None:
                        configs.setdefault(key, config)
        self._progress.start("measuring latency", len(configs))
        for key, config in configs.items():
            try:
                self.latencies.store(key, measure_latency(config))
            except OutputError:
                raise
            except (BuildextError, RuntimeError) as error:
                self._progress.note(f"{config.network.encoder}: not measured: {error}")
            self._progress.advance()
        self._progress.finish()
        self.write_page()

    def write_page(self) -> None:
        """Make table and page anew from the records."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_table()
        latencies = {}
        stages = self._stages()
        for outcome in stages:
            for arm in outcome.results:
                for run in arm.runs.values():
                    if run is not None:
                        latencies[run.key] = self.latencies.load(run.network_key)
        write_page(self.page, self.design, stages, latencies)

    def _write_table(self) -> None:
        rows = [(outcome.section.name, outcome.results) for outcome in self._stages()]
        write_table(self.folder / TABLE_FILE, rows, self.design.study.metric)

    def _stages(self) -> list[StageOutcome]:
        return list(known_stages(self.design, self.records))

    def _do(self, run: PlannedRun) -> None:
        """Train one run and store its record."""
        # Outside of the attempt below: data that are missing for one run are missing for all.
        baseline = self._baseline(run.config)
        folder = self.folder / RUNS / run.key
        if run.record is not None:
            # A second try at what failed must not begin from where it failed.
            shutil.rmtree(folder, ignore_errors=True)
        try:
            result = self._train(run.config, folder)
            record = _record(run, result, baseline)
        except OutputError:
            raise
        except Exception as error:
            # Anything that one architecture may do to torch is a result of the study.
            log.debug("run %s failed", run.key, exc_info=True)
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:500]
            values = run.config.model_dump(mode="json")
            record = RunRecord(run.key, run.seed, "failed", values, reason)
        self.records.store(record)
        self._tell(record)
        if not self.design.study.keep_checkpoints:
            for checkpoint in folder.rglob("*.safetensors"):
                checkpoint.unlink()
        gc.collect()

    def _train(self, config: TrainingConfig, folder: Path) -> dict[str, Any]:
        """The result of a run: new, gone on with, or already there."""
        try:
            text = (folder / RESULT_FILE).read_text(encoding="utf-8")
            result: dict[str, Any] = json.loads(text)
        except (FileNotFoundError, json.JSONDecodeError):
            # No result yet, or the process ended while it was written.
            done = run_config(
                config,
                self.design.folder,
                folder,
                resume=folder.exists(),
                progress=self._progress,
                export=False,
                cache=self._scenes,
                common=self.folder / COMMON,
            )
            result = asdict(done)
        return result

    def _baseline(self, config: TrainingConfig) -> Baseline | None:
        """The colour threshold for the data of a run; None without held-out building labels."""
        data = config.model_dump(
            mode="json", include={"datasets", "roles", "sampling", "split", "seed"}
        )
        key = json.dumps([data, config.network.channels], sort_keys=True)
        if key not in self._baselines:
            self._baselines[key] = self._find_baseline(config)
        return self._baselines[key]

    def _find_baseline(self, config: TrainingConfig) -> Baseline | None:
        if CHANNEL not in config.network.channels:
            return None
        pool = read_pool(config, self.design.folder, self._progress, self._scenes)
        sampler = TileSampler(pool.scenes("all"), config.sampling, config.seed)
        tiles = [as_tensors(sampler.sample(i), config) for i in range(TRAINING_TILES)]
        channel = config.network.channels.index(CHANNEL)
        baseline = colour_baseline(tiles, pool.monitor, channel)
        return baseline if math.isfinite(baseline.score) else None

    def _tell(self, record: RunRecord) -> None:
        if record.status == "failed":
            self._progress.note(f"  failed: {record.reason}")
            return
        score = record.scores.get(self.design.study.metric, math.nan)
        text = f"  {self.design.study.metric} {score:.4f}"
        if record.baseline is not None:
            verdict = "" if record.trained else ": NOT TRAINED"
            held_out = record.scores.get(HELD_OUT_SCORE, math.nan)
            text += f"; held out {held_out:.4f}, colour threshold {record.baseline:.4f}{verdict}"
        self._progress.note(text)


def network_key(config: TrainingConfig) -> str:
    """As `RunRecord.network_key`, before there is a record."""
    return json.dumps(config.network.model_dump(mode="json"), sort_keys=True)


def _record(run: PlannedRun, result: dict[str, Any], baseline: Baseline | None) -> RunRecord:
    return RunRecord(
        key=run.key,
        seed=run.seed,
        status="done",
        config=run.config.model_dump(mode="json"),
        scores=result["scores"],
        baseline=None if baseline is None else baseline.score,
        baseline_rule="" if baseline is None else str(baseline.rule),
        seconds=result["seconds"],
        steps=result["steps"],
        tiles_s=result["tiles_s"],
        parameters=result["parameters"],
        macs_256=result["macs_256"],
        method=result["method"],
    )


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
