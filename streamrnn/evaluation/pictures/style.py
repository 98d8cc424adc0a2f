"""What all pictures share: colours, letters, and SVG that stands inside a page.

Colours are those of M. Okabe and K. Ito ("Color Universal Design", 2008), which colour-blind people
can tell apart; whatever a colour says is also said by a shape or a word.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from streamrnn.core.errors import StreamRNNError
from streamrnn.core.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, GRID, PAPER = "#1f2a36", "#5f6c7b", "#e4e8ed", "#ffffff"
BLUE, RED, SKY, GREEN, SAND = "#0072b2", "#d55e00", "#9ccbea", "#009e73", "#eef1f5"
#: Inches across a page, and across half of one.
WIDE, HALF = 11.0, 5.4
#: Longest name in a picture.
MAX_NAME = 24

_STYLE: Any = {  # matplotlib's stubs have a type for its keys, its releases differ in them
    "font.family": ["DejaVu Sans", "Verdana", "Segoe UI", "Helvetica", "Arial", "sans-serif"],
    "font.size": 8.5,
    "axes.labelsize": 8.5,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": "#c3cad3",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": False,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "hatch.linewidth": 0.6,
    "hatch.color": RED,
    "text.usetex": False,
    "text.parse_math": False,  # names are names, whatever signs are in them
    "svg.fonttype": "none",
    "svg.hashsalt": "streamrnn",
    "path.simplify_threshold": 0.2,
}


def require_matplotlib() -> None:
    """Raise `StreamRNNError` if matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise StreamRNNError("pictures need matplotlib: pip install 'streamrnn[report]'")


@contextmanager
def figure(
    width: float, height: float, rows: Sequence[float] = (1,), **kwargs: Any
) -> Iterator[tuple[Figure, list[Axes]]]:
    """Give a figure and its axes, one above the other.

    Parameters
    ----------
    width, height : float
        Inches.
    rows : sequence of float
        Relative heights of the axes.
    **kwargs
        Go to `Figure.subplots`.
    """
    import logging

    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # Letters that this machine's fonts lack, and fonts that it lacks, are the reader's to show.
    fonts = logging.getLogger("matplotlib.font_manager")
    level = fonts.level
    fonts.setLevel(logging.ERROR)
    try:
        with rc_context(_STYLE), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            drawn = Figure(figsize=(width, height), layout="constrained", facecolor=PAPER)
            FigureCanvasSVG(drawn)
            axes = drawn.subplots(len(rows), 1, squeeze=False, height_ratios=list(rows), **kwargs)
            yield drawn, list(axes[:, 0])
    finally:
        fonts.setLevel(level)


def to_svg(drawn: Figure, key: str, title: str) -> str:
    """Return a figure as an ``<svg>`` element that refers to nothing outside itself.

    Call it inside `figure`, whose style it needs.

    Parameters
    ----------
    drawn : Figure
    key : str
        Letters, put before all ids so that pictures of one page do not mix them up.
    title : str
        What a screen reader says.
    """
    from html import escape

    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    drawn.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<[^>]*>", lambda tag: _inside(tag.group(), key), text)
    root, rest = text.split(">", 1)
    root = re.sub(r'\s(width|height|xmlns|xmlns:xlink|version)="[^"]*"', "", root)
    label = escape(printable(title, 200), quote=True)
    return re.sub(r"\n\s*\n", "\n", f'{root} role="img" aria-label="{label}">{rest}').strip()


def _inside(tag: str, key: str) -> str:
    tag = tag.replace(' xlink:href="', ' href="')
    return re.sub(r'( id="|url\(#| href="#)', rf"\g<1>{key}-", tag)


def name(text: str) -> str:
    """Return a label or a file's name as it stands in a picture."""
    return printable(text, MAX_NAME)
