from __future__ import annotations

import io
import json
import os

import pytest

from streamrnn.core.records import Event, Stats
from streamrnn.sinks import JsonlSink, Sink

EVENT = Event("left", "discrete", 7, 70_000, 10_000, 60_000, 0.5)


def test_each_record_is_a_line_at_once() -> None:
    read, write = os.pipe()
    with os.fdopen(write, "wb") as out:
        sink: Sink = JsonlSink(out)
        sink.open("dev", "sha256:1")
        sink.write(EVENT)
        line = os.read(read, 1000)
        assert line.endswith(b"}\n")
        document = json.loads(line)
        assert (document["stream"], document["model"]) == ("dev", "sha256:1")
        sink.close()
    os.close(read)


def test_statistics_can_be_left_out() -> None:
    out = io.BytesIO()
    sink = JsonlSink(out, stats=False)
    sink.write(EVENT)
    sink.write(Stats({"n_frames": 1}))
    assert out.getvalue().count(b"\n") == 1


def test_a_closed_pipe_is_said() -> None:
    read, write = os.pipe()
    os.close(read)
    out = os.fdopen(write, "wb", buffering=0)
    with pytest.raises(BrokenPipeError):
        JsonlSink(out).write(EVENT)
    out.close()
