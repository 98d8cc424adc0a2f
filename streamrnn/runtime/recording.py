"""A recording that is led and watched: items and keys in, a session file and remarks out."""

from __future__ import annotations

from collections.abc import Sequence

from streamrnn.core.types import Frames, Gap, Item
from streamrnn.runtime.damage import damage_of
from streamrnn.runtime.guide import Guide, Step
from streamrnn.runtime.quality import Quality
from streamrnn.runtime.recorder import Recorder
from streamrnn.sources.base import Source
from streamrnn.sources.tap import Tape

#: Of frames that come together, later ones than this have been waited for: prompts stood still.
LATE_US = 1_000_000
#: What is said of a break that the source does not tell of by itself.
_GAPS = {
    "reboot": "the device booted anew: what follows is set behind what was recorded before",
    "overrun": "this computer was late, frames were dropped",
}


class Recording:
    """Writes what a source gives, with the labels of a guide and of keys.

    Parameters
    ----------
    source : Source
        Open.
    recorder : Recorder
    guide : Guide, optional
    tape : Tape, optional
        Where undecoded bytes come from.

    Attributes
    ----------
    quality : Quality
    steps : list of Step
        What the guide said since it was last emptied by the reader.
    """

    def __init__(
        self,
        source: Source,
        recorder: Recorder,
        guide: Guide | None = None,
        tape: Tape | None = None,
    ) -> None:
        self.source = source
        self.recorder = recorder
        self.guide = guide
        self.quality = Quality(source.info)
        self.steps: list[Step] = []
        self._tape = tape
        self._begun_us = 0
        self._done: list[int] = []
        self._remarks: list[str] = []

    @property
    def is_over(self) -> bool:
        """Whether the guide has nothing more to ask."""
        return self.guide is not None and self.guide.is_over

    def push(self, items: Sequence[Item]) -> list[str]:
        """Take items, none if nothing came; return what is newly wrong, one line each."""
        for item in items:
            self.recorder.push(item)
            if isinstance(item, Frames):
                block = self.recorder.newest
                if len(item) and block is not None:
                    self._frames(block)
            elif isinstance(item, Gap):
                if item.reason in _GAPS:
                    self._remarks.append(_GAPS[item.reason])
                self.quality.interrupted()
                if self.guide is not None:
                    self._take(self.guide.interrupt())
        self.recorder.tick(self._tape)
        n_good = self.source.counters.n_packets
        self._remarks += self.quality.damaged(damage_of(self.source), n_good)
        remarks, self._remarks = self._remarks, []
        return remarks

    def check_rate(self) -> list[str]:
        """Compare the rate that the source measured with the stated one; now and then is enough."""
        report = self.source.timing
        if report is None or not report.is_settled or report.host_hz is None:
            return []
        return self.quality.rate(report.nominal_hz, report.host_hz)

    @property
    def is_complete(self) -> bool:
        """Whether all that the guide had to ask was done or skipped."""
        guide = self.guide
        return (
            guide is not None
            and guide.is_over
            and all(
                n + guide.n_skipped[name] >= guide.config.reps for name, n in guide.n_done.items()
            )
        )

    # ---- what a person wants

    def undo(self) -> str | None:
        """Take back the newest label; with a guide, the newest gesture, which is asked for again.

        Returns
        -------
        str or None
            What was taken back; None if there was nothing.
        """
        if self.guide is None:
            label = self.recorder.undo()
            return None if label is None else label.name
        steps = self.guide.undo()
        self._take(steps)
        taken = [step.gesture for step in steps if step.kind in ("undone", "dropped")]
        return taken[0] if taken else None

    def skip(self) -> None:
        """Leave out what is asked for."""
        if self.guide is not None:
            self._take(self.guide.skip())

    def toggle_pause(self) -> None:
        """Wait with prompts, or go on; frames are recorded all the same."""
        if self.guide is not None:
            self._take(self.guide.toggle_pause())

    def finish(self) -> list[str]:
        """End the guide; a gesture that is being done is void. The file is not closed."""
        if self.guide is not None:
            self._take(self.guide.finish())
        self.recorder.tick(self._tape)
        return self.quality.finish()

    # ---- inside

    def _frames(self, block: Frames) -> None:
        guide, t_us = self.guide, block.t_us
        if guide is not None and guide.prompt.kind == "waiting":
            # What waited until now is over: nobody can be asked for it.
            self._take(guide.push(t_us[-1:]))
        elif guide is not None and self.source.live and t_us[-1] - t_us[0] > LATE_US:
            steps = guide.late(int(t_us[-1]))
            if steps:
                late_s = (int(t_us[-1]) - int(t_us[0])) / 1e6
                self._remarks.append(
                    f"{late_s:.1f} s of frames came late, all at once: what was asked meanwhile "
                    "is asked again"
                )
            self._take(steps)
        elif guide is not None:
            self._take(guide.push(t_us))
        self._remarks += self.quality.push(block)

    def _take(self, steps: list[Step]) -> None:
        """Have labels follow the guide."""
        self.steps += steps
        self.quality.steps(steps)
        recorder = self.recorder
        for step in steps:
            if step.kind == "now":
                self._begun_us = step.t_us
            elif step.kind == "ended":
                # Written when it is whole: a kill leaves no half of a gesture.
                number = recorder.begin(step.gesture, self._begun_us, "guide")
                recorder.end(number, step.t_us)
                self._done.append(number)
            elif step.kind == "dropped" and step.t_us > self._begun_us:
                # Who did half of it has taught no null: readers leave out what was taken back.
                number = recorder.begin(step.gesture, self._begun_us, "guide")
                recorder.end(number, step.t_us)
                recorder.undo(number)
            elif step.kind == "undone":
                recorder.undo(self._done.pop())
