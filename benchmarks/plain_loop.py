"""What one would write without this project: pyserial, ONNX Runtime and a print.

    python -m benchmarks.plain_loop PORT MODEL.onnx

A peer of `benchmarks.end_to_end`: frames of fixed length, no check, no features; a softmax over two
fixed outputs, an exponential mean, one JSON line a frame.
"""

import json
import struct
import sys

import numpy as np
import onnxruntime as ort  # type: ignore[import-not-found,unused-ignore]
import serial


def main(path: str, model: str) -> None:
    """Read, run, print, for ever."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    port = serial.Serial(path, 115200, timeout=1)
    frame = struct.Struct("<2x6h")
    state = {name: np.zeros((1, 1, 64), np.float32) for name in ("h0", "c0")}
    weights = np.ones((64, 2), np.float32) / 64
    smoothed = np.zeros(2, np.float32)
    n = 0
    print(json.dumps({"type": "ready"}), flush=True)
    while True:
        data = port.read(frame.size)
        if len(data) < frame.size:
            continue
        x = np.array(frame.unpack(data), np.float32).reshape(1, 1, 6) / 1000
        y, h, c = session.run(["y", "h0_next", "c0_next"], {"x": x, **state})
        state = {"h0": h, "c0": c}
        e = np.exp(y[0, 0] @ weights)
        smoothed += 0.2 * (e / e.sum() - smoothed)
        event = {"type": "event", "seq": n, "class": int(smoothed.argmax())}
        print(json.dumps(event), flush=True)
        n += 1


if __name__ == "__main__":
    main(*sys.argv[1:3])
