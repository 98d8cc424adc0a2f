"""What a network looks like, without its weights."""

from __future__ import annotations

from dataclasses import dataclass

#: Nothing larger is built or read; bounds the memory that a file can ask for.
MAX_LAYERS = 8
MAX_WIDTH = 4096
DTYPES = ("float32", "float64")


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """Stacked LSTM layers and a linear head.

    Attributes
    ----------
    n_inputs : int
        I, features a frame; 1..4096.
    hidden : tuple of int
        H of each layer, from the input up; 1 to 8 layers of 1..4096.
    n_classes : int
        C, outputs of the head; 1..4096.
    dtype : {"float32", "float64"}
        Of weights, state and arithmetic.

    Raises
    ------
    ValueError
        A size outside of its range.
    """

    n_inputs: int
    hidden: tuple[int, ...]
    n_classes: int
    dtype: str = "float32"

    def __post_init__(self) -> None:
        """Refuse sizes outside of their range."""
        if not 1 <= len(self.hidden) <= MAX_LAYERS:
            raise ValueError(f"hidden must name 1..{MAX_LAYERS} layers, got {len(self.hidden)}")
        sizes = {"n_inputs": self.n_inputs, "n_classes": self.n_classes}
        sizes |= {f"hidden[{n}]": size for n, size in enumerate(self.hidden)}
        for name, size in sizes.items():
            if not 1 <= size <= MAX_WIDTH:
                raise ValueError(f"{name} must be within 1..{MAX_WIDTH}, got {size}")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {self.dtype!r}")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each tensor by its name in the model file, in a fixed order."""
        shapes: dict[str, tuple[int, ...]] = {}
        width = self.n_inputs
        for n, size in enumerate(self.hidden):
            shapes[f"lstm.weight_ih_l{n}"] = (4 * size, width)
            shapes[f"lstm.weight_hh_l{n}"] = (4 * size, size)
            shapes[f"lstm.bias_ih_l{n}"] = (4 * size,)
            width = size
        shapes["head.weight"] = (self.n_classes, width)
        shapes["head.bias"] = (self.n_classes,)
        return shapes
