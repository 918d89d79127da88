"""Atomic outputs: whole, or as before."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from buildext.atomic import as_output_error, atomic_path, check_output
from buildext.errors import DiskFullError, NotWritableError, OutputError, OutputExistsError


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_the_file_appears_at_the_end_only(tmp_path: Path) -> None:
    final = tmp_path / "a.gpkg"
    with atomic_path(final) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".gpkg"
        assert temporary.name.startswith(".")
        assert not final.exists()
    assert final.read_text() == "new"
    assert names_in(tmp_path) == ["a.gpkg"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_any_way_out_but_the_end_leaves_all_as_it_was(
    tmp_path: Path, error: type[BaseException]
) -> None:
    final = tmp_path / "a.gpkg"
    final.write_text("old")
    with pytest.raises(error), atomic_path(final, overwrite=True) as temporary:
        temporary.write_text("half")
        temporary.with_name(f"{temporary.name}-journal").write_text("beside it")
        raise error
    assert final.read_text() == "old"
    assert names_in(tmp_path) == ["a.gpkg"]


def test_an_existing_output_is_replaced_only_on_demand(tmp_path: Path) -> None:
    final = tmp_path / "a.gpkg"
    final.write_text("old")
    with pytest.raises(OutputExistsError), atomic_path(final):
        pytest.fail("the block ran")
    assert final.read_text() == "old"
    with atomic_path(final, overwrite=True) as temporary:
        temporary.write_text("new")
    assert final.read_text() == "new"


def test_two_writers_of_one_output_do_not_meet(tmp_path: Path) -> None:
    final = tmp_path / "a.gpkg"
    with atomic_path(final, overwrite=True) as first, atomic_path(final, overwrite=True) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert final.read_text() == "first"
    assert names_in(tmp_path) == ["a.gpkg"]


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    final = tmp_path / "a.gpkg"
    with pytest.raises(DiskFullError, match=r"a\.gpkg"), atomic_path(final) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert names_in(tmp_path) == []


def test_an_error_of_other_kind_passes_unchanged(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError), atomic_path(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise ConnectionResetError("not ours")


@pytest.mark.parametrize("where", ["nowhere/a.gpkg", "folder"])
def test_a_place_that_cannot_be_written(tmp_path: Path, where: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(NotWritableError):
        check_output(tmp_path / where, overwrite=True)


def test_checking_leaves_no_trace(tmp_path: Path) -> None:
    check_output(tmp_path / "a.gpkg", overwrite=False)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, ""), DiskFullError),
        (OSError(errno.EDQUOT, ""), DiskFullError),
        (RuntimeError("database or disk is full"), DiskFullError),
        (OSError(errno.EROFS, ""), NotWritableError),
        (OSError(errno.EACCES, ""), NotWritableError),
        (RuntimeError("something else"), OutputError),
    ],
)
def test_what_drivers_raise_becomes_ours(
    tmp_path: Path, error: Exception, kind: type[OutputError]
) -> None:
    told = as_output_error(error, tmp_path / "a.gpkg")
    assert type(told) is kind
    assert told.exit_code == 5
    assert told.hint
