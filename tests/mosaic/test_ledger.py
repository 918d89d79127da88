"""The ledger survives what happens to its process and to its machine."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from buildext.mosaic.grid import BlockId
from buildext.mosaic.ledger import NAME, PROBABILITY, open_ledger, read_ledger
from buildext.mosaic.rows import BlockOutcome

BLOCKS = [BlockId(1000, 1000 + col) for col in range(5)]
OUTCOME = BlockOutcome(0, 100, 1.5, "here:1", {})


def states(out: Path) -> list[str]:
    """Of the blocks in their order; empty where nothing is written down."""
    with read_ledger(out) as ledger:
        return [row.state for row in ledger.tasks().values()]


def after_power_failure(out: Path, copy: Path, log_bytes: int) -> Path:
    """The folder as the disk has it when of the log no more than some bytes have reached it."""
    copy.mkdir()
    shutil.copyfile(out / NAME, copy / NAME)
    log = (out / f"{NAME}-wal").read_bytes()[:log_bytes]
    (copy / f"{NAME}-wal").write_bytes(log)
    return copy


def test_a_log_that_is_cut_off_is_an_earlier_ledger(tmp_path: Path) -> None:
    """Wherever it is cut: whole rounds are missing, the last ones, and nothing is half there."""
    out = tmp_path / "out"
    out.mkdir()
    log = out / f"{NAME}-wal"
    rounds = []
    with open_ledger(out) as ledger:
        ledger.wait_for([(block, PROBABILITY, "key") for block in BLOCKS])
        rounds.append((log.stat().st_size, states(out)))
        for first, second in ((0, 1), (2, 3)):
            for place in (first, second):
                ledger.begin(BLOCKS[place], PROBABILITY)
                ledger.done(BLOCKS[place], PROBABILITY, "key", OUTCOME)
            ledger.commit()
            rounds.append((log.stat().st_size, states(out)))
        whole = log.stat().st_size
        for number, size in enumerate(range(rounds[0][0], whole + 1, 997)):
            expected = [known for start, known in rounds if start <= size][-1]
            assert states(after_power_failure(out, tmp_path / str(number), size)) == expected
    assert [known.count("done") for _, known in rounds] == [0, 2, 4]


def test_what_is_not_committed_is_not_there(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.wait_for([(BLOCKS[0], PROBABILITY, "key")])
        ledger.begin(BLOCKS[0], PROBABILITY)
        assert states(tmp_path) == ["waiting"]
        ledger.commit()
        assert states(tmp_path) == ["running"]


def test_before_results_are_replaced_the_disk_is_waited_for(tmp_path: Path) -> None:
    """And for nothing else that happens while blocks are done."""
    statements: list[str] = []
    with open_ledger(tmp_path) as ledger:
        ledger._connection.set_trace_callback(statements.append)
        ledger.wait_for([(BLOCKS[0], PROBABILITY, "key")])
        ledger.set_fact("finished", None, firmly=True)
        before = len(statements)
        ledger.begin(BLOCKS[0], PROBABILITY)
        ledger.done(BLOCKS[0], PROBABILITY, "key", OUTCOME)
        ledger.commit()
        (level,) = ledger._connection.execute("pragma synchronous").fetchone()
    told = [text.split()[0].lower() for text in statements[:before]]
    assert told == ["pragma", "begin", "insert", "commit", "pragma"] * 2
    levels = [text.split()[-1] for text in statements[:before] if text.startswith("pragma")]
    assert levels == ["full", "normal"] * 2
    assert sum(text.lower() == "commit" for text in statements[before:]) == 1 and level == 1


@pytest.mark.parametrize("somebody_reads", [False, True])
def test_at_the_end_it_is_one_file(tmp_path: Path, somebody_reads: bool) -> None:
    with closing(sqlite3.connect(tmp_path / NAME)) as reader:
        with open_ledger(tmp_path) as ledger:
            ledger.wait_for([(BLOCKS[0], PROBABILITY, "key")])
            if somebody_reads:
                reader.execute("begin")
                reader.execute("select * from blocks").fetchall()
        log = tmp_path / f"{NAME}-wal"
        assert log.exists() == somebody_reads
    assert states(tmp_path) == ["waiting"]


def test_a_run_that_ends_badly_keeps_its_last_round(tmp_path: Path) -> None:
    def full_disk() -> None:
        with open_ledger(tmp_path) as ledger:
            ledger.wait_for([(BLOCKS[0], PROBABILITY, "key")])
            ledger.done(BLOCKS[0], PROBABILITY, "key", OUTCOME)
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        full_disk()
    assert states(tmp_path) == ["done"]
