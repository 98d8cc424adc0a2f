"""What a network looks like, without its weights."""

from __future__ import annotations

from dataclasses import dataclass

#: Nothing larger is built or read; bounds the memory that a file can ask for.
MAX_LAYERS = 8
MAX_WIDTH = 4096
#: Most numbers in the window of a window network.
MAX_WINDOW_NUMBERS = 1 << 20
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
        _check_sizes(sizes, self.dtype)

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


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """One layer of hidden units on a sliding window, and a linear head.

    Attributes
    ----------
    n_inputs : int
        I, features a frame; 1..4096.
    window : int
        W, frames that are looked at; 1..4096, and W * I at most 2**20.
    hidden : int
        H, 1..4096.
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
    window: int
    hidden: int
    n_classes: int
    dtype: str = "float32"

    def __post_init__(self) -> None:
        """Refuse sizes outside of their range."""
        names = ("n_inputs", "window", "hidden", "n_classes")
        _check_sizes({name: getattr(self, name) for name in names}, self.dtype)
        n_wide = self.window * self.n_inputs
        if n_wide > MAX_WINDOW_NUMBERS:
            raise ValueError(
                f"a window may hold {MAX_WINDOW_NUMBERS} numbers, got {self.window} frames of "
                f"{self.n_inputs} = {n_wide}"
            )

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each tensor by its name in the model file, in a fixed order."""
        return {
            "window.weight": (self.hidden, self.window * self.n_inputs),
            "window.bias": (self.hidden,),
            "head.weight": (self.n_classes, self.hidden),
            "head.bias": (self.n_classes,),
        }


#: What a network is called in a model file, and what describes it.
KINDS: dict[str, type[NetworkSpec] | type[WindowSpec]] = {
    "lstm": NetworkSpec,
    "mlp-window": WindowSpec,
}


def _check_sizes(sizes: dict[str, int], dtype: str) -> None:
    for name, size in sizes.items():
        if not 1 <= size <= MAX_WIDTH:
            raise ValueError(f"{name} must be within 1..{MAX_WIDTH}, got {size}")
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
