"""The board: whatever order workers answer in, everything is done once and in a valid order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from buildext.mosaic.grid import BlockId, neighbours
from buildext.mosaic.ledger import FOOTPRINTS, PROBABILITY
from buildext.mosaic.schedule import Board, Task

blocks = st.sets(st.builds(BlockId, st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12)


def keys_of(some: set[BlockId], version: int = 0) -> dict[BlockId, str]:
    return {block: f"{block.name}.{version}" for block in some}


def new_board(keys: dict[BlockId, str], done: dict[Task, str] | None = None) -> Board:
    return Board(keys, "outline", done or {}, {})


def drain(board: Board, data: st.DataObject, at_most: int = 10_000) -> list[Task]:
    """Work until nothing is left, with up to three tasks in flight that end in any order."""
    flying: list[Task] = []
    ended: list[Task] = []
    while len(ended) < at_most:
        while len(flying) < 3 and (taken := board.take()):
            flying.append(taken[0])
        if not flying:
            break
        task = flying.pop(data.draw(st.integers(0, len(flying) - 1)))
        if board.end(task) is not None:
            ended.append(task)
    for task in flying:
        board.again(task)
    return ended


@given(blocks, st.data())
def test_everything_once_and_outlines_after_all_around(
    some: set[BlockId], data: st.DataObject
) -> None:
    board = new_board(keys_of(some))
    ended = drain(board, data)
    assert sorted(ended) == sorted((b, s) for b in some for s in (PROBABILITY, FOOTPRINTS))
    for place, (block, stage) in enumerate(ended):
        if stage == FOOTPRINTS:
            for other in {block, *neighbours(block)} & some:
                assert (other, PROBABILITY) in ended[:place]
    assert board.open_tasks() == []


@given(blocks, st.data())
def test_a_run_goes_on_where_another_ended(some: set[BlockId], data: st.DataObject) -> None:
    first = new_board(keys_of(some))
    before = drain(first, data, data.draw(st.integers(0, 12)))
    done = {task: first.key(task) for task in before}
    after = drain(new_board(keys_of(some), done), data)
    assert sorted(before + after) == sorted((b, s) for b in some for s in (PROBABILITY, FOOTPRINTS))


@given(blocks, st.data())
def test_a_new_key_redoes_a_block_and_what_read_it(some: set[BlockId], data: st.DataObject) -> None:
    board = new_board(keys_of(some))
    drain(board, data)
    changed = data.draw(st.sampled_from(sorted(some)))
    board.rekey({changed: "new"})
    again = drain(board, data)
    around = {changed, *neighbours(changed)} & some
    assert sorted(again) == sorted([(changed, PROBABILITY), *((b, FOOTPRINTS) for b in around)])


def take(board: Board) -> Task:
    taken = board.take()
    assert taken is not None
    return taken[0]


def test_what_comes_back_under_an_old_key_does_not_count() -> None:
    block = BlockId(0, 0)
    board = new_board({block: "old"})
    task = take(board)
    board.rekey({block: "new"})
    assert board.take() is None
    assert board.end(task) is None
    assert board.take() == (task, "new")
    assert board.end(task) == "new"
    outline = take(board)
    board.rekey({block: "newer"})
    assert board.end(outline) is None
    assert take(board) == task
    assert board.end(task) == "newer"
    assert board.end(take(board)) is not None
    assert board.take() is None


def test_outlines_that_reach_farther_wait_for_what_they_read() -> None:
    near, far = BlockId(0, 0), BlockId(0, 3)
    board = new_board(keys_of({near, far}))
    first, second = take(board), take(board)
    assert {first[0], second[0]} == {near, far}
    board.end((near, PROBABILITY))
    outline = take(board)
    assert outline == (near, FOOTPRINTS)
    # It looked at a block that came in only after it had begun: what it saw may be too old.
    board.end((far, PROBABILITY))
    assert board.end(outline, [far]) is None
    ended = set()
    while taken := board.take():
        ended.add(taken[0])
        assert board.end(taken[0], [near, far]) is not None
    assert ended == {(near, FOOTPRINTS), (far, FOOTPRINTS)}
    # From now on it depends on that block.
    board.rekey({far: "changed"})
    assert {(near, FOOTPRINTS), (far, FOOTPRINTS), (far, PROBABILITY)} == {
        (block, stage) for block, stage, _ in board.open_tasks()
    }


def test_a_block_that_is_given_up_holds_nobody_up() -> None:
    some = {BlockId(0, 0), BlockId(0, 1)}
    board = new_board(keys_of(some))
    take(board), take(board)
    board.give_up((BlockId(0, 0), PROBABILITY))
    board.end((BlockId(0, 1), PROBABILITY))
    ended = [take(board), take(board)]
    keys = {task: board.end(task) for task in ended}
    assert {task[1] for task in ended} == {FOOTPRINTS} and all(keys.values())
    # Once the block is done after all, these outlines are out of date.
    later = new_board(keys_of(some), {task: key for task, key in keys.items() if key})
    assert len(later.open_tasks()) == 4
