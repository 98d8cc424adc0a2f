"""What form a text stream has, and what its columns mean, from the first lines that agree."""

from __future__ import annotations

from collections.abc import Callable

from streamrnn.wire.forms import jsonlines, named, numbers, teleplot
from streamrnn.wire.forms.columns import Layout, LayoutError, lay_out
from streamrnn.wire.forms.lines import JUNK, MAX_LINE, NOTE, OVERSIZE, Reading
from streamrnn.wire.forms.rounds import N_AGREEING, Rounds
from streamrnn.wire.options import StreamOptions

Reader = Callable[[bytes], Reading | int]

#: The readers of a line, in the order in which they are asked.
READERS: dict[str, Reader] = {
    "numbers": numbers.read,
    "named": named.read,
    "teleplot": teleplot.read,
    "json": jsonlines.read,
}
#: Forms in which a line may hold one variable of several.
_OF_ROUNDS = ("named", "teleplot")


class Agreement:
    """Wait for lines that agree: three neighbours, or three rounds of one variable a line.

    Parameters
    ----------
    options : StreamOptions

    Attributes
    ----------
    form : str
        Of the lines that agree, or that may come to agree.
    layout : Layout or None
        None while no lines agree.
    names : tuple of bytes
        Of the values of the lines that agree.
    rounds : Rounds or None
        Where a line holds one variable: what puts them together.
    readings : list of Reading
        The frames of the lines that agree, or that may come to agree.
    lines : list of bytes
        These lines, as they came; none for rounds.
    used_header : bool
        The names stood in the line before ...
    header : bytes
        ... which was this.
    trouble : str
        Why lines that agree were refused: what the user said does not fit them.
    """

    def __init__(self, options: StreamOptions) -> None:
        self._options = options
        chosen = options.format
        self._readers = {chosen: READERS[chosen]} if chosen in READERS else READERS
        first = options.names[0].encode() if options.names else b""
        self._rounds = {form: Rounds(first) for form in _OF_ROUNDS}
        self._header_names: tuple[bytes, ...] = ()
        self.form = ""
        self.layout: Layout | None = None
        self.names: tuple[bytes, ...] = ()
        self.rounds: Rounds | None = None
        self.readings: list[Reading] = []
        self.lines: list[bytes] = []
        self.used_header = False
        self.header = b""
        self.trouble = ""

    def read(self, line: bytes) -> tuple[str, Reading | int]:
        """Return the form of a line and its values, or what is wrong with it."""
        wrong = JUNK
        for form, reader in self._readers.items():
            reading = reader(line)
            if isinstance(reading, Reading):
                return form, reading
            if reading == NOTE:
                wrong = NOTE
        return "", OVERSIZE if len(line) > MAX_LINE else wrong

    def take(self, form: str, reading: Reading, line: bytes, before: bytes) -> int:
        """Take a line; return how many lines that waited are given up.

        Parameters
        ----------
        form : str
        reading : Reading
        line : bytes
            As it came.
        before : bytes
            The line before, if it held no values.
        """
        if form in _OF_ROUNDS and len(reading.names) == 1:
            n_given_up = self.give_up()
            frames = self._rounds[form].take(reading)
            if frames:
                self.form, self.rounds, self.readings = form, self._rounds[form], frames
                if not self._settle(frames[0].names):
                    self.rounds, self.readings = None, []
            return n_given_up
        n_given_up = 0
        if self.readings and not (form == self.form and _agree(self.readings[0], reading)):
            n_given_up = self.give_up()
        if not self.readings:
            self.form = form
            self.header = before
            self._header_names = numbers.header(before, len(reading.values))
        self.readings.append(reading)
        self.lines.append(line)
        if len(self.readings) == N_AGREEING:
            first = self.readings[0]
            names = self._header_names if form == "numbers" else first.names
            self.used_header = form == "numbers" and bool(names)
            if not self._settle(names):
                n_given_up += self.give_up()
        return n_given_up

    def give_up(self) -> int:
        """Give up the lines that wait for others to agree; return how many."""
        n_lines = len(self.lines)
        self.lines, self.readings = [], []
        return n_lines

    def n_other_rounds(self) -> int:
        """Return how many lines waited for rounds that never came."""
        return sum(r.n_good for r in self._rounds.values() if r is not self.rounds)

    def _settle(self, names: tuple[bytes, ...]) -> bool:
        """Settle the columns; return whether that could be done."""
        units = self.rounds.units if self.rounds else {}
        try:
            self.layout = lay_out(self.readings, names, units, self._options)
        except LayoutError as error:
            self.trouble = str(error)
            return False
        self.names = self.readings[0].names
        return True


def _agree(one: Reading, other: Reading) -> bool:
    """Return whether two lines hold the same values, if perhaps in another order."""
    if len(one.values) != len(other.values) or len(set(other.names)) != len(other.names):
        return False
    return one.names == other.names or sorted(one.names) == sorted(other.names)
