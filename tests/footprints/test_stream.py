from __future__ import annotations

import threading

import pyarrow as pa
import pytest

from buildext.footprints.stream import QUEUED_BATCHES, BatchStream

SCHEMA = pa.schema([("n", pa.int64())])


def batch(number: int) -> pa.RecordBatch:
    return pa.record_batch([pa.array([number])], schema=SCHEMA)


def test_batches_arrive_in_order() -> None:
    got: list[int] = []
    stream = BatchStream(SCHEMA, lambda reader: got.extend(b["n"][0].as_py() for b in reader))
    for number in range(100):
        stream.put(batch(number))
    stream.finish()
    assert got == list(range(100))


def test_a_slow_consumer_holds_the_producer_back() -> None:
    go = threading.Event()
    put: list[int] = []

    def consume(reader: pa.RecordBatchReader) -> None:
        go.wait(30)
        reader.read_all()

    stream = BatchStream(SCHEMA, consume)

    def produce() -> None:
        for number in range(50):
            stream.put(batch(number))
            put.append(number)

    producer = threading.Thread(target=produce)
    producer.start()
    producer.join(1)
    assert len(put) <= QUEUED_BATCHES
    go.set()
    producer.join(30)
    stream.finish()
    assert len(put) == 50


def test_an_error_of_the_consumer_reaches_the_producer() -> None:
    def consume(reader: pa.RecordBatchReader) -> None:
        reader.read_next_batch()
        raise OSError("no more paper")

    stream = BatchStream(SCHEMA, consume)
    with pytest.raises(OSError, match="no more paper"):
        for number in range(1000):
            stream.put(batch(number))
    with pytest.raises(OSError, match="no more paper"):
        stream.finish()
    stream.cancel()


@pytest.mark.parametrize("batches", [0, 1, QUEUED_BATCHES + 1])
def test_cancelling_stops_the_consumer(batches: int) -> None:
    ended = threading.Event()

    def consume(reader: pa.RecordBatchReader) -> None:
        try:
            reader.read_all()
        finally:
            ended.set()

    stream = BatchStream(SCHEMA, consume)
    for number in range(batches):
        stream.put(batch(number))
    stream.cancel()
    assert ended.is_set()


def test_cancelling_after_the_end_does_nothing() -> None:
    stream = BatchStream(SCHEMA, lambda reader: reader.read_all())
    stream.put(batch(1))
    stream.finish()
    stream.cancel()
