"""The ledger: what is done, what is not, and what went wrong, in one SQLite file of the mosaic.

Only the coordinating process writes it. A block counts as done when its row says so *and* names the
key under which it was done; the key is a hash of all that it depends on. Anybody on the same
machine may read along.

What may be lost, and when? To wait for the disk takes long, and a city has many tasks, so there is
a write-ahead log (https://www.sqlite.org/wal.html), and two kinds of transactions:

- *Most* are not waited for (`synchronous = normal`). A process that is killed loses nothing that
  was committed, since that is with the operating system. When the power fails, the last seconds are
  lost; the log is checked frame by frame, so a tail that did not reach the disk is cut off, and
  what is before it is sound. What happens to tasks (`begin`, `done`, `failed`) is committed once a
  round of the run, with all that came back in it. A lost `done` costs its task: it is done once
  more and comes out the same.
- *Before results are replaced* (`wait_for`, and the fact that the outputs are not those of the
  blocks any more) the transaction, and all before it, is on the disk when the call returns
  (`synchronous = full`). A row that says "done" under an old key must be gone for good before its
  raster is touched: else, after a power failure and with the old options, it would vouch for the
  new one.

Where a file system has no write-ahead log, every transaction is waited for. At the end the log is
folded into the file, unless somebody reads just then, so that a finished mosaic can be copied and
read where nobody may write. (The log lies in shared memory: it cannot be read from another machine
over a network drive while the run lasts.)

A second, empty file is the lock: it is held for as long as a process coordinates the mosaic, and
the operating system lets go of it when the process dies, however it dies.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from buildext.errors import MissingInputError, OutputError, UsageError
from buildext.mosaic.grid import BlockId
from buildext.mosaic.rows import BlockOutcome, SourceRow

# The lock is there before the ledger.
NAME, LOCK = "ledger.sqlite", ".lock.sqlite"
Stage = Literal["probability", "footprints"]
PROBABILITY: Stage = "probability"
FOOTPRINTS: Stage = "footprints"
STAGES: tuple[Stage, ...] = (PROBABILITY, FOOTPRINTS)
State = Literal["waiting", "running", "done", "failed"]
_SCHEMA_VERSION = 1
_PATIENCE_S = 30
_SCHEMA = """
create table facts (name text primary key, value text not null);
create table sources (
  number integer primary key, name text unique not null, fingerprint text not null,
  state text not null, note text not null, acquired text not null, sensor_group text not null
);
create table blocks (
  row integer not null, col integer not null, stage text not null, state text not null,
  key text not null, attempts integer not null, worker text not null, started text not null,
  seconds real not null, valid_px integer not null, buildings integer not null,
  details text not null, error text not null,
  primary key (row, col, stage)
);
"""
_SCHEMA += f"insert into facts values ('schema_version', '{_SCHEMA_VERSION}');"


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One stage of one block.

    Attributes:
        block, stage: which.
        state: `running` in a ledger that nobody holds means: it was, when the run was killed.
        key: of what is done, or was tried.
        attempts: made under this key.
        worker: host and process of the last one.
        started: time of the last attempt, UTC.
        seconds: that the work took.
        valid_px, buildings, details: see `BlockOutcome`.
        error: of the last attempt that failed.
    """

    block: BlockId
    stage: Stage
    state: State
    key: str
    attempts: int
    worker: str
    started: str
    seconds: float
    valid_px: int
    buildings: int
    details: dict[str, Any]
    error: str


class Ledger:
    """An open ledger; made by `open_ledger` and `read_ledger`."""

    def __init__(self, connection: sqlite3.Connection, hasty: str = "full") -> None:
        """`hasty`: how much most transactions wait for the disk, see `pragma synchronous`."""
        self._connection = connection
        self._hasty = hasty
        self._connection.execute(f"pragma synchronous = {hasty}")

    def fact(self, name: str) -> Any:
        """A stored value, or None."""
        found = self._connection.execute(
            "select value from facts where name = ?", (name,)
        ).fetchone()
        return None if found is None else json.loads(found[0])

    def set_fact(self, name: str, value: Any, *, firmly: bool = False) -> None:
        """Store a value fit for JSON; `firmly`: it is on the disk when the call returns."""
        with self._firmly() if firmly else self._connection:
            self._connection.execute(
                "insert or replace into facts values (?, ?)", (name, json.dumps(value))
            )

    def sources(self) -> list[SourceRow]:
        """All files that the mosaic ever had, by number."""
        rows = self._connection.execute(
            "select number, name, state, note, acquired, sensor_group from sources order by number"
        )
        return [SourceRow(*row) for row in rows]

    def fingerprints(self) -> dict[str, str]:
        """Fingerprint of each file when it was last looked at, by name."""
        return dict(self._connection.execute("select name, fingerprint from sources").fetchall())

    def register(self, names: Sequence[str]) -> dict[str, int]:
        """Numbers of files, by name; new files get the next ones, and all keep theirs for ever."""
        with self._connection:
            last = self._connection.execute("select max(number) from sources").fetchone()[0] or 0
            known = dict(self._connection.execute("select name, number from sources").fetchall())
            new = [name for name in names if name not in known]
            self._connection.executemany(
                "insert into sources values (?, ?, '', 'used', '', '', '')",
                list(enumerate(new, last + 1)),
            )
        return known | {name: last + place for place, name in enumerate(new, 1)}

    def damaged(self, number: int, note: str) -> None:
        """A file turned out to be damaged."""
        with self._connection:
            self._connection.execute(
                "update sources set state = 'damaged', note = ? where number = ?", (note, number)
            )

    def forgive(self) -> None:
        """Let files that were damaged be looked at again."""
        with self._connection:
            self._connection.execute(
                "update sources set state = 'used', note = '' where state = 'damaged'"
            )

    def note_sources(self, rows: Sequence[tuple[SourceRow, str]]) -> None:
        """Replace what is known of the files; those that are not among them are `gone`."""
        with self._connection:
            self._connection.execute("update sources set state = 'gone', note = ''")
            self._connection.executemany(
                "insert or replace into sources values (?, ?, ?, ?, ?, ?, ?)",
                [
                    (r.number, r.name, fingerprint, r.state, r.note, r.acquired, r.group)
                    for r, fingerprint in rows
                ],
            )

    def tasks(self) -> dict[tuple[BlockId, Stage], TaskRow]:
        """All stages of all blocks."""
        rows = self._connection.execute("select * from blocks order by row, col, stage desc")
        found = {}
        names = [field.name for field in fields(TaskRow)][1:]
        for row, col, *rest in rows:
            values = dict(zip(names, rest, strict=True))
            task = TaskRow(
                BlockId(row, col), **{**values, "details": json.loads(values["details"])}
            )
            found[task.block, task.stage] = task
        return found

    def wait_for(self, tasks: Sequence[tuple[BlockId, Stage, str]]) -> None:
        """Write down what is to be done (again): block, stage and the key it will have."""
        if not tasks:
            return
        with self._firmly():
            self._connection.executemany(
                "insert or replace into blocks values "
                "(?, ?, ?, 'waiting', ?, 0, '', '', 0, 0, 0, '{}', '')",
                [(block.row, block.col, stage, key) for block, stage, key in tasks],
            )

    def commit(self) -> None:
        """End a round: what happened to tasks since the last one will survive this process."""
        self._connection.commit()

    def begin(self, block: BlockId, stage: Stage) -> None:
        """A task was handed to a worker; counts from the next `commit` on, as the next two do."""
        self._update(
            block, stage, "state = 'running', attempts = attempts + 1, started = datetime('now')"
        )

    def done(self, block: BlockId, stage: Stage, key: str, outcome: BlockOutcome) -> None:
        """A task has ended well under this key."""
        self._update(
            block,
            stage,
            "state = 'done', key = ?, worker = ?, seconds = ?, valid_px = ?, buildings = ?, "
            "details = ?, error = ''",
            key,
            outcome.worker,
            outcome.seconds,
            outcome.valid_px,
            outcome.buildings,
            json.dumps(outcome.details),
        )

    def failed(self, block: BlockId, stage: Stage, error: str, again: bool) -> None:
        """A task has ended badly; it will be tried `again`, or not."""
        state = "waiting" if again else "failed"
        self._update(block, stage, "state = ?, error = ?", state, error)

    def forget(self, blocks: Sequence[BlockId]) -> None:
        """Remove blocks that no file lies on any more, and that have left nothing behind."""
        with self._connection:
            self._connection.executemany(
                "delete from blocks where row = ? and col = ?", [(b.row, b.col) for b in blocks]
            )

    def _update(self, block: BlockId, stage: Stage, change: str, *values: Any) -> None:
        # `change` is text of this file, never of a user.
        self._connection.execute(
            f"update blocks set {change} where row = ? and col = ? and stage = ?",  # nosec B608
            (*values, block.row, block.col, stage),
        )

    @contextlib.contextmanager
    def _firmly(self) -> Iterator[None]:
        """A transaction of its own that is on the disk when the block ends."""
        self._connection.commit()
        self._connection.execute("pragma synchronous = full")
        try:
            with self._connection:
                yield
        finally:
            self._connection.execute(f"pragma synchronous = {self._hasty}")


@contextlib.contextmanager
def open_ledger(out: Path) -> Iterator[Ledger]:
    """Open or make the ledger of a mosaic, to coordinate it.

    Raises:
        UsageError: another process does, or the ledger is of another version.
        OutputError: the folder cannot be written to.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_hold(out))
        try:
            connection = stack.enter_context(
                contextlib.closing(sqlite3.connect(out / NAME, timeout=_PATIENCE_S))
            )
            if not connection.execute("select 1 from sqlite_master").fetchone():
                # All at once: a process that is killed here leaves nothing, or a ledger.
                connection.executescript(f"begin; {_SCHEMA} commit;")
            (journal,) = connection.execute("pragma journal_mode = wal").fetchone()
        except sqlite3.Error as error:
            raise OutputError(f"{out / NAME}: the ledger cannot be opened ({error})") from error
        # Without a log, a power failure in a hasty transaction could damage the file.
        ledger = _checked(Ledger(connection, "normal" if journal == "wal" else "full"), out)
        stack.callback(_fold, connection)
        yield ledger


@contextlib.contextmanager
def read_ledger(out: Path) -> Iterator[Ledger]:
    """Open the ledger of a mosaic to look at it, also while another process works.

    Raises:
        MissingInputError: there is none.
    """
    path = out / NAME
    if not path.is_file() or not path.stat().st_size:
        raise MissingInputError(
            f"{out}: no mosaic here ({NAME} is missing)",
            hint="name the folder that `buildext mosaic SRC… -o` wrote to",
        )
    address = f"{path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, timeout=_PATIENCE_S, uri=True)) as connection:
        yield _checked(Ledger(connection), out)


def is_held(out: Path) -> bool:
    """Whether a process coordinates the mosaic now."""
    if not (out / LOCK).exists():
        return False
    try:
        with _hold(out):
            return False
    except UsageError:
        return True


def _fold(connection: sqlite3.Connection) -> None:
    """Commit, and fold the log into the file; somebody who reads meanwhile keeps the log there."""
    connection.commit()
    connection.execute("pragma busy_timeout = 0")
    with contextlib.suppress(sqlite3.OperationalError):
        connection.execute("pragma journal_mode = delete")


def _checked(ledger: Ledger, out: Path) -> Ledger:
    version = ledger.fact("schema_version")
    if version != _SCHEMA_VERSION:
        raise UsageError(
            f"{out}: a ledger of version {version}; expected {_SCHEMA_VERSION}",
            hint="use the buildext that made it, or another folder",
        )
    return ledger


@contextlib.contextmanager
def _hold(out: Path) -> Iterator[None]:
    """Hold the lock; SQLite's own locks are those of the operating system, on every one."""
    connection = sqlite3.connect(out / LOCK, timeout=0, isolation_level=None)
    try:
        try:
            connection.execute("begin exclusive")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise OutputError(f"{out}: the lock cannot be taken ({error})") from error
            raise UsageError(
                f"{out}: another process works on this mosaic; expected to be the only one",
                hint="wait for it, or look with `buildext mosaic status`",
            ) from error
        yield
    finally:
        connection.close()
