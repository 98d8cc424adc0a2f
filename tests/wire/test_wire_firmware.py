"""examples/firmware: the wire in C, written from docs/wire.md alone, against both decoders."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wire_make import ENCODER, flat, frames_of

from streamrnn.core.types import End, Marker, StreamInfo
from streamrnn.wire.decoder import WireDecoder
from streamrnn.wire.packet import Ack, Pong
from streamrnn.wire.reference import ReferenceDecoder

FIRMWARE = Path(__file__).parents[2] / "examples" / "firmware"

PROBE = r"""
#include "streamrnn_wire.h"
#include <stdio.h>
/* Payloads of n bytes without a zero, up to the largest packet, and what must not fit. */
static uint8_t out[SRNN_WIRE_SIZE(4076)], payload[5000];
static const char *const names[] = {"v"};
static const srnn_group group = {names, 1, "", SRNN_F32, "1", "0"};
static const srnn_device device = {"p", "", "", "1000", &group, 1, 0};
int main(void) {
    uint32_t seq = 0;
    const float values[] = {1.5f, -0.25f};
    fwrite(out, 1, srnn_hello(out, sizeof out, &device, 0, 0), stdout);
    fwrite(out, 1, srnn_data_f32(out, sizeof out, 0, 0, 0, values, 2), stdout);
    seq = 2;
    for (size_t i = 0; i < sizeof payload; i++) payload[i] = (uint8_t)(1 + i % 60);
    for (size_t n = 4; n <= 4076; n += n == 1100 ? 2900 : 4) {
        size_t size = srnn_data_raw(out, sizeof out, 0, seq, 0, payload, n);
        if (size == 0 || size > SRNN_WIRE_SIZE(n)) return 1;
        if (srnn_data_raw(out, size - 1, 0, seq, 0, payload, n) != 0) return 2;
        size = srnn_data_raw(out, size, 0, seq, 0, payload, n);
        fwrite(out, 1, size, stdout);
        seq += (uint32_t)(n / 4);
    }
    return srnn_data_raw(out, sizeof out, 0, seq, 0, payload, 4077) == 0 ? 0 : 3;
}
"""


def compile_c(folder: Path, name: str, *sources: Path) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc): the firmware example is not tested")
    program = folder / name
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1", f"-I{FIRMWARE}"]
    library = FIRMWARE / "streamrnn_wire.c"
    subprocess.run([compiler, *flags, "-o", program, *sources, library], check=True, timeout=120)
    return program


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("firmware")
    return compile_c(folder, "demo", FIRMWARE / "demo_main.c")


def talk(program: Path, sent: bytes = b"") -> list[Any]:
    """Return what a program says, decoded by both decoders, which must agree."""
    done = subprocess.run([program], input=sent, capture_output=True, timeout=60, check=True)
    decoder, oracle = WireDecoder(), ReferenceDecoder()
    items = decoder.push(done.stdout)
    assert flat(oracle.push(done.stdout)) == flat(items)
    counters = decoder.counters
    assert counters == oracle.counters
    assert counters.n_packets == done.stdout.count(b"\0")
    assert counters.n_lost_frames == counters.n_duplicate_frames == 0
    return items


def test_hello_frames_labels_and_end_arrive(board: Path) -> None:
    items = talk(board, ENCODER.command(1, "START"))
    info = items[0]
    assert isinstance(info, StreamInfo)
    assert info.channel_names == ("acc_x", "acc_y", "acc_z", "gyro_x", "gyro_y", "gyro_z")
    assert [channel.unit for channel in info.channels] == ["g"] * 3 + ["dps"] * 3
    assert (info.name, info.firmware, info.boot_id) == ('C "demo"', "1.0", "b0001")
    assert info.rate_hz == 100
    assert Ack(1, True, "") in items
    frames = frames_of(items)
    seq = np.arange(200)
    assert np.array_equal(frames.seq, seq)
    assert np.array_equal(frames.t_us, 10_000 * seq)
    raw = (seq[:, None] * 37 + np.arange(6) * 1000).astype(np.int16)
    assert np.array_equal(frames.x[:, :3], raw[:, :3] * np.float32(0.000122))
    scaled = raw[:, 3:] * np.float32(0.061) + np.float32(0.5)
    assert np.array_equal(frames.x[:, 3:], scaled)
    markers = [item for item in items if isinstance(item, Marker)]
    assert markers == [Marker("wave", "start", 1_000_000), Marker("wave", "end", 2_000_000)]
    assert items[-1] == End(200)


def test_commands_are_understood_once_and_answered_each_time(board: Path) -> None:
    sent = b"".join(
        [
            b"line noise\0",
            ENCODER.command(5, "START"),
            ENCODER.command(5, "START"),
            ENCODER.command(6, "SET_RATE", {"why": "x", "rate_hz": 100.0}),
            ENCODER.command(7, "SET_RATE", {"rate_hz": 200}),
            ENCODER.command(4294967295, "DESCRIBE"),
            ENCODER.ping(0x0102030405060708),
            ENCODER.command(8, "STOP"),
        ]
    )
    items = talk(board, sent)
    acks = [(a.request_id, a.ok, a.message) for a in items if isinstance(a, Ack)]
    assert acks == [
        (5, True, ""),
        (5, True, ""),
        (6, True, ""),
        (7, False, "100 Hz only"),
        (4294967295, True, ""),
        (8, True, ""),
    ]
    assert len(frames_of(items)) == 200
    assert Pong(0x0102030405060708, 2_000_000) in items


def test_damaged_long_and_senseless_commands_do_nothing(board: Path) -> None:
    good = bytearray(ENCODER.command(1, "START"))
    good[20] ^= 4
    sent = b"".join(
        [
            bytes(good),
            ENCODER.command(1, "START", {"why": "x" * 500}),
            ENCODER.event({"id": 1, "cmd": "START"}, 0, 0),
            ENCODER.command(1, "START")[3:],
            ENCODER.command(1, "START")[:-3],
            b"\0" * 5,
            b"\xff" * 1000 + b"\0",
        ]
    )
    items = talk(board, sent)
    assert [type(item) for item in items] == [StreamInfo, End]


def test_payloads_of_every_length_and_nothing_beyond_the_buffer(tmp_path: Path) -> None:
    source = tmp_path / "probe.c"
    source.write_text(PROBE)
    items = talk(compile_c(tmp_path, "probe", source))
    frames = frames_of(items)
    assert frames.x[:2, 0].tolist() == [1.5, -0.25]
    payload = bytes(1 + i % 60 for i in range(4076))
    expected = [
        np.frombuffer(payload[:n], "<f4") for n in (*range(4, 1101, 4), *range(4000, 4077, 4))
    ]
    assert np.array_equal(frames.x[2:, 0], np.concatenate(expected))


ARDUINO = r"""
#include <stddef.h>
#include <stdint.h>
struct Stream {
  void begin(long = 0) {} int available() { return 0; } int read() { return 0; }
  size_t write(uint8_t) { return 1; } size_t write(const uint8_t *, size_t n) { return n; }
  void setClock(long) {} void beginTransmission(uint8_t) {} void endTransmission(bool = true) {}
  void requestFrom(uint8_t, uint8_t) {}
} static Serial, Wire;
enum { A0 = 0 };
static inline uint32_t micros() { return 0; } static inline uint32_t millis() { return 0; }
static inline int analogRead(int) { return 0; }
"""


def test_the_sketch_is_valid_against_the_functions_that_it_needs(tmp_path: Path) -> None:
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler (c++): the Arduino sketch is not checked")
    (tmp_path / "Wire.h").write_text(ARDUINO)
    sketch = FIRMWARE / "streamrnn_sketch" / "streamrnn_sketch.ino"
    flags = ["-x", "c++", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", f"-I{FIRMWARE}"]
    subprocess.run([compiler, *flags, f"-I{tmp_path}", sketch], check=True, timeout=120)
