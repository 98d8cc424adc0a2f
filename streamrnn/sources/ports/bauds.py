"""At which rate a port speaks: the usual ones are tried until something makes sense."""

from __future__ import annotations

import time
from collections.abc import Callable

from streamrnn.sources.serial import SerialLink
from streamrnn.wire.detect import Detector
from streamrnn.wire.encode import Encoder

#: The usual rates, the likeliest first. 1200 is not among them: it has Arduino boards with USB of
#: their own wait for a new program.
USUAL = (
    115_200, 9_600, 921_600, 57_600, 230_400, 460_800, 1_000_000, 2_000_000, 38_400, 19_200,
    250_000, 500_000, 1_500_000, 74_880,
)  # fmt: skip
#: What makes no sense for this long is asked to describe itself,
_ASK_AFTER_S = 0.15
#: as is a line that is silent for this long;
_ASK_SILENCE_AFTER_S = 0.3
#: an answer is waited for this long,
_ANSWER_S = 0.25
#: and this is how long to listen to what may be slow lines of text.
_LISTEN_TO_TEXT_S = 1.5
#: Share of readable characters from which on bytes may be text.
_TEXT_SHARE = 0.9
#: What is judged: the newest bytes.
_JUDGED_BYTES = 4096
_TEXT = bytes([*b"\t\r\n", *range(0x20, 0x7F)])


def text_share(data: bytes | bytearray) -> float:
    """Return the share of bytes that are readable ASCII; 0.0 of none."""
    return 1.0 - len(data.translate(None, _TEXT)) / len(data) if data else 0.0


def find_baud(
    link: SerialLink,
    *,
    rates: tuple[int, ...] = USUAL,
    trying: Callable[[int], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[int, str] | None:
    """Try rates one after the other; takes about half a second each.

    Parameters
    ----------
    link : SerialLink
        Open; it stays so, at the rate that was tried last.
    rates : tuple of int
        In this order.
    trying : callable, optional
        Is told each rate before it is tried.
    clock : callable
        Seconds, monotonic.

    Returns
    -------
    (int, str) or None
        The rate, and the form of the stream; None when nothing makes sense at any.

    Raises
    ------
    LinkLostError
        The port went away.
    """
    for baud in rates:
        if trying is not None:
            trying(baud)
        link.set_baud(baud)
        form = _listen(link, clock)
        if form:
            return baud, form
    return None


def _listen(link: SerialLink, clock: Callable[[], float]) -> str:
    """Return which form of stream is heard; ``""`` for none."""
    detector = Detector()
    heard = bytearray()
    begin_s = clock()
    asked_s: float | None = None
    while True:
        passed_s = clock() - begin_s
        if text_share(heard) >= _TEXT_SHARE:
            if passed_s > _LISTEN_TO_TEXT_S:
                return ""
        elif asked_s is not None:
            if passed_s > asked_s + _ANSWER_S:
                return ""
        elif passed_s > (_ASK_AFTER_S if heard else _ASK_SILENCE_AFTER_S):
            asked_s = passed_s
            link.write(b"\0" + Encoder().command(1, "DESCRIBE"))
        data = link.read(0.02)
        heard += data
        del heard[:-_JUDGED_BYTES]
        detector.push(data)
        if detector.format == "wire":
            return detector.format
        # Three lines may come out of garbage by chance, and then they are few among the others.
        if detector.format and text_share(heard) >= _TEXT_SHARE:
            return detector.format
