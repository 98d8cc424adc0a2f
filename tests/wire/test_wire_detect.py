"""Which format it is, and that no byte is lost in finding out."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from wire_make import ENCODER, damage, data, flat, frames_of, make_hello, push_cut

from streamrnn.core.types import StreamInfo
from streamrnn.wire.decoder import WireDecoder
from streamrnn.wire.detect import Detector
from streamrnn.wire.text import TextDecoder

CUTS = st.lists(st.integers(1, 200), min_size=1, max_size=5)
BOOT_NOISE = b"ets Jun  8 2016 00:22:57\r\nrst:0x1 (POWERON_RESET)\r\nload:0x3fff0018,len:4\r\n"


@given(st.integers(0, 2**32), CUTS)
def test_chunks_do_not_matter_and_nothing_is_lost(seed: int, cuts: list[int]) -> None:
    rng = random.Random(seed)
    hello = make_hello()
    wire = ENCODER.hello(hello) + b"".join(data(hello, 2 * n, 2) for n in range(5))
    text = b"".join(b"%d,%d\n" % (n, -n) for n in range(6))
    head = rng.choice([b"", BOOT_NOISE, b"1\n2\n", rng.randbytes(300) + b"\n\0"])
    stream = head + rng.choice([wire, text, wire + text, text + wire, damage(rng, wire, 3)])
    whole, cut = Detector(rate_hz=100.0), Detector(rate_hz=100.0)
    items = whole.push(stream)
    assert flat(push_cut(cut, stream, cuts)) == flat(items)
    assert cut.format == whole.format
    assert cut.counters == whole.counters
    plain = WireDecoder() if whole.format == "wire" else TextDecoder(rate_hz=100.0)
    if whole.format is not None:
        assert flat(list(plain.push(stream))) == flat(items)
        assert plain.counters == whole.counters


def test_wire_behind_boot_noise() -> None:
    hello = make_hello()
    detector = Detector()
    assert detector.format is None
    assert detector.push(BOOT_NOISE) == []
    assert detector.format is None
    items = detector.push(b"\0" + ENCODER.hello(hello) + data(hello, 0, 2))
    assert detector.format == "wire"
    assert isinstance(detector.decoder, WireDecoder)
    assert isinstance(items[0], StreamInfo)
    assert frames_of(items).seq.tolist() == [0, 1]
    assert detector.counters.n_bytes > len(BOOT_NOISE)


def test_data_before_any_hello_is_already_the_wire() -> None:
    detector = Detector()
    assert detector.push(data(make_hello(), 0)) == []
    assert detector.format == "wire"
    assert detector.counters.n_bad_content == 1


def test_text_behind_a_half_line() -> None:
    detector = Detector(rate_hz=50.0)
    items = detector.push(b"7,8\n1,2,3\n4,5,6\n7,8,9\n")
    assert detector.format == "numbers"
    assert isinstance(detector.decoder, TextDecoder)
    assert frames_of(items).t_us.tolist() == [0, 20_000, 40_000]
    items = detector.push(b"1,2,3\n")
    assert frames_of(items).seq.tolist() == [3]


def test_random_bytes_are_nothing() -> None:
    detector = Detector()
    assert detector.push(np.random.default_rng(0).bytes(100_000)) == []
    assert detector.format is None
    assert detector.counters.n_bytes == 100_000


def test_resync_and_reset() -> None:
    hello = make_hello()
    detector = Detector()
    detector.push(ENCODER.hello(hello) + data(hello, 0) + data(hello, 1)[:5])
    detector.resync()
    assert frames_of(detector.push(data(hello, 2))).seq.tolist() == [2]
    detector.reset()
    assert detector.format is None
    items = detector.push(b"1 2\n3 4\n5 6\n")
    assert detector.format == "numbers"
    assert frames_of(items).x.tolist() == [[1, 2], [3, 4], [5, 6]]


def test_a_push_from_before_goes_on_and_text_is_loaded_when_it_is_text() -> None:
    hello = make_hello()
    detector = Detector()
    push = detector.push
    assert push(b"12") == []
    assert push(b"\0" + ENCODER.hello(hello)) == [hello.stream_info()]
    assert detector.push is not push
    assert frames_of(push(data(hello, 0, 2))).seq.tolist() == [0, 1]
    code = (
        "import sys, test_wire_detect as t\n"
        "from streamrnn.kernels import native\n"
        "loaded = []\n"
        "load = native.Library.__init__\n"
        "def spy(self, part, code):\n"
        "    loaded.append(part.name)\n"
        "    load(self, part, code)\n"
        "native.Library.__init__ = spy\n"
        "d = t.Detector()\n"
        "d.push(b'12')\n"
        "print(loaded)\n"
        "d.push(b'3\\n4\\n5\\n')\n"
        "print(loaded, 'numba' in sys.modules)\n"
    )
    here = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": here},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "['packets']\n['packets', 'text'] False\n"
