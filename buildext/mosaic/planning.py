"""A plan without a run: what there is to do, said and drawn before anything is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from buildext.mosaic.estimate import Estimate, estimate
from buildext.mosaic.ledger import open_ledger
from buildext.mosaic.options import MosaicOptions
from buildext.mosaic.plan_page import write_plan
from buildext.mosaic.prepare import prepare
from buildext.mosaic.run import make_folder
from buildext.progress import Progress


def plan_mosaic(
    names: Sequence[str],
    out: Path,
    options: MosaicOptions,
    workers: int,
    threads: int,
    progress: Progress,
) -> tuple[Estimate, Path]:
    """Plan a mosaic, and write the plan into its folder.

    Args:
        names, out, options, progress: as for `run_mosaic`.
        workers, threads: for which to estimate the time.

    Returns:
        The estimate and the page with the map.
    """
    make_folder(out)
    with open_ledger(out) as ledger:
        prepared = prepare(ledger, out, names, options, progress)
        plan, without = prepared.plan, prepared.without
        notes = {row.name: row.note for row in ledger.sources() if row.state == "damaged"}
    expected = estimate(plan, without, options.extract, workers, threads, out)
    _, page = write_plan(out, plan, without, notes, expected)
    return expected, page
