"""Make the sample model that ships with the package, from simulated people alone.

    python examples/make_sample_model.py

Records twelve simulated people, trains on ten of them while two are watched, and writes
streamrnn/data/sample.safetensors. Everything is seeded: the same versions give the same file.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

N_PEOPLE = 12
SECONDS = 120
TARGET = Path(__file__).parents[1] / "streamrnn" / "data" / "sample.safetensors"


def streamrnn(*arguments: str) -> None:
    """Run a command of the product, or end with its error."""
    subprocess.run([sys.executable, "-m", "streamrnn", *arguments], check=True)


def main() -> None:
    """Record, train, write."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sessions = []
        for person in range(1, N_PEOPLE + 1):
            path = str(folder / f"person-{person}.mcap")
            board = f"sim:signals?person={person}&seed={person}&seconds={SECONDS}&speed=0"
            streamrnn("record", board, "-o", path, "--subject", f"person-{person}")
            sessions.append(path)
        held_out = (f"person-{N_PEOPLE - 1}", f"person-{N_PEOPLE}")
        watched = [word for subject in held_out for word in ("--held-out", subject)]
        model = str(folder / "sample.safetensors")
        streamrnn("train", *sessions, "-o", model, *watched)
        TARGET.parent.mkdir(exist_ok=True)
        TARGET.write_bytes(Path(model).read_bytes())
        print(f"wrote {TARGET}")


if __name__ == "__main__":
    main()
