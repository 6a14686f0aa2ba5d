"""SIGKILL and SIGTERM at random moments of a run: each restart goes on, and the end is bit-equal."""

import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.runs import (
    COMPILED,
    COMPILING,
    EVALUATED_EVERY,
    EVERY,
    Place,
    Run,
    Tally,
    checkpoints,
    difference,
    newest,
)
from senet_jax.checkpoints import verify

PHASES = ("starting", "compiling", "training", "evaluating", "saving")
_LONGEST = {"starting": 4.0, "compiling": 4.0, "training": 1.5, "evaluating": 0.3, "saving": 0.06}
"""Longest time in seconds from the beginning of a phase to the signal."""
_STEPS_OF_A_TRY = 20
_MOST_SECONDS = 30.0
"""Time to save after SIGTERM."""
_HARMED = "harmed"


@dataclass
class _Try:
    """A signal that was sent; the next start shows whether the run survived it."""

    tally: Tally
    logged: int
    """Newest step in the log."""
    saved: int
    """Step of the newest complete checkpoint."""
    seconds: float = 0.0
    """From the signal to the end of the process."""
    bad: str = ""


def campaign(directory: Path, kills: int, terms: int) -> Iterator[Tally]:
    """Yields a tally for each signal and phase, after one run that got all signals, one after the other."""
    draw = random.Random(0)
    number = {signal.SIGKILL: kills, signal.SIGTERM: terms}
    moments = [(signum, PHASES[index % len(PHASES)]) for signum, count in number.items() for index in range(count)]
    tallies = {moment: Tally(f"{moment[0].name} while {moment[1]}") for moment in dict.fromkeys(moments)}
    draw.shuffle(moments)
    place = Place(directory, max(3 * EVERY, _STEPS_OF_A_TRY * len(moments)))
    whole, tries = place.whole(), _Tries(place)
    for signum, phase in moments:
        if not tries.harm(tallies[signum, phase], signum, phase, draw):
            break
    last = place.start(_HARMED)
    last.end()
    tries.judge(last)
    wrong = f"status {last.status}" if last.status else difference(whole, directory / _HARMED)
    for each in tries.sent:
        each.tally.count(not each.bad)
        each.tally.seen = each.tally.seen or each.bad
    for (signum, _), tally in tallies.items():
        if wrong:
            tally.lose(wrong)
        elif tally.survived and not tally.lost:
            most = max(each.seconds for each in tries.sent if each.tally is tally)
            said = f"ends within {most:.1f} s"
            if signum == signal.SIGKILL:
                said = f"at most {tries.most_again} steps computed again, with a checkpoint every {EVERY}"
            tally.seen = f"bit-equal arrays and log; {said}"
        yield tally


class _Tries:
    """The signals that one run got."""

    def __init__(self, place: Place):
        self.sent: list[_Try] = []
        self.most_again = 0
        """Most steps that a restart computed again."""
        self._place, self._workdir = place, place.directory / _HARMED
        self._pending: list[_Try] = []

    def harm(self, tally: Tally, signum: signal.Signals, phase: str, draw: random.Random) -> bool:
        """Starts the run, and sends the signal in that phase; returns False if the run ends before."""
        cold = {"JAX_COMPILATION_CACHE_DIR": str(self._place.directory / f"cold{len(self.sent)}")}
        run = self._place.start(_HARMED, **(cold if phase == "compiling" else {}))
        run.wait_until(lambda: _reached(run, phase))
        time.sleep(draw.uniform(0, _LONGEST[phase]))
        if run.process.poll() is not None:
            return False
        each = _Try(tally, newest(self._workdir)[1], (checkpoints(self._workdir) or [0])[-1])
        each.seconds = run.end(signum)
        self.judge(run, warm=phase != "compiling")
        if signum == signal.SIGTERM:
            each.bad = _stopped_badly(run, each.seconds)
            each.saved = (checkpoints(self._workdir) or [0])[-1]
        self.sent.append(each)
        self._pending.append(each)
        return True

    def judge(self, run: Run, *, warm: bool = True) -> None:
        """Judges the signals before this start by the step from which it goes on, unless it ended before that."""
        went_on, first = run.went_on_after(), run.seconds_to(COMPILED)
        if went_on is None and run.seconds_to(COMPILING) is None:
            return
        for each in self._pending:
            self.most_again = max(self.most_again, each.logged - (went_on or 0))
            if (went_on or 0) < each.saved:
                each.bad = each.bad or f"went on after step {went_on}, and step {each.saved} was saved"
            if first is not None and warm:
                each.tally.seconds.append(first)
        self._pending = []


def _reached(run: Run, phase: str) -> bool:
    if phase == "starting":
        return True
    if phase == "compiling":
        return run.seconds_to(COMPILING) is not None
    if run.seconds_to(COMPILED) is None:
        return False
    split, step = newest(run.workdir)
    if phase == "evaluating":
        return split == "train" and step % EVALUATED_EVERY == 0
    if phase == "saving":
        return any("tmp" in path.name for path in (run.workdir / "checkpoints").glob("*"))
    return True


def _stopped_badly(run: Run, seconds: float) -> str:
    """Returns how the end after SIGTERM differs from the documentation; "" if it does not."""
    if seconds > _MOST_SECONDS:
        return f"{seconds:.0f} s from SIGTERM to the end"
    if run.seconds_to(COMPILING) is None and run.status == -signal.SIGTERM:
        return ""  # Before the first step there is nothing to save.
    if run.status != 128 + signal.SIGTERM:
        return f"status {run.status} after SIGTERM"
    return "" if "stopped by SIGTERM after step" in run.output or "stopped;" in run.output else "it says nothing"


def large(directory: Path, network: str, tries: int) -> Iterator[Tally]:
    """Yields how soon SIGTERM ends the training of a network at 224 pixels, batch 16: 30 seconds are the most."""
    flags = [f"--config.model.name={network}", "--config.data.image_size=224", "--config.batch_size=16"]
    flags += ["--config.duration=100 steps", "--config.log_every=1 steps", "--config.optimizer.warmup=5 steps"]
    flags.append(f"--config.data.data_dir={directory / 'data'}")
    for phase, line in (("compiling", COMPILING), ("training", COMPILED)):
        tally, ends = Tally(f"SIGTERM to {network} at 224 pixels while {phase}"), []
        for number in range(tries):
            run = Run(directory / f"{phase}{number}", flags)
            run.wait_for(line)
            time.sleep(5.0 + number)
            ends.append(run.end(signal.SIGTERM))
            print(run.output.splitlines()[-1], flush=True)
            saved = checkpoints(run.workdir)
            if saved:
                verify(run.workdir / f"checkpoints/{saved[-1]}")
            tally.count(run.status == 143 and ends[-1] < _MOST_SECONDS and bool(saved) == (phase == "training"))
        tally.seen = f"ends within {max(ends):.1f} s, load {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores"
        yield tally
