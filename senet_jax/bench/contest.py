"""Measurement of contestants in turns, each in its own process, so that drift affects all equally."""

import json
import statistics
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from senet_jax.terminal.progress import progress, say
from senet_jax.workdir import RunError

_ROOT = Path(__file__).resolve().parents[2]
"""Folder of senet_jax, in which contestants run, so that `-m` finds it in a checkout too."""
_END = 2000
"""Number of last characters of a failed contestant's messages that are shown."""


@dataclass(frozen=True)
class Entry:
    """A contestant."""

    variant: str
    """Name of the implementation, such as "timm eager"."""
    network: str
    squeeze_excite: bool
    mode: str
    """Either "training" or "inference"."""
    command: Sequence[str]
    """Command that starts the process; worker.py has the protocol."""

    def __str__(self) -> str:
        return f"{self.variant}, {'SE' if self.squeeze_excite else 'plain'}"


@dataclass
class Result:
    """Measurements of an entry, one for each round."""

    entry: Entry
    facts: dict[str, Any]
    """First reply of its process."""
    seconds: list[float] = field(default_factory=list)
    """Seconds of one step."""
    cpu_seconds: list[float] = field(default_factory=list)
    """Seconds of one step, summed over all cores."""
    peak_memory: int = 0
    """Peak memory in bytes, beyond that of the process before it makes its network."""

    def add(self, measured: dict[str, Any]) -> None:
        """Adds a measurement of the process."""
        self.seconds.append(measured["seconds"])
        self.cpu_seconds.append(measured["cpu_seconds"])
        self.peak_memory = measured["peak_memory"]


class _Process:
    """Process of a contestant, idle between measurements."""

    def __init__(self, entry: Entry, environment: Mapping[str, str], messages: IO[bytes]):
        self.entry, self.messages = entry, messages
        self.process = subprocess.Popen(
            entry.command,
            cwd=_ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=messages,
            text=True,
        )

    def __enter__(self) -> "_Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def reply(self) -> dict[str, Any]:
        """Returns its next reply. Raises RunError if the process has ended."""
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            self.messages.seek(0)
            said = self.messages.read().decode(errors="replace")[-_END:]
            raise RunError(f"{self.entry} ended with status {self.process.wait()}:\n{said}")
        return json.loads(line)

    def measure(self) -> dict[str, Any]:
        """Makes one measurement. Raises RunError as `reply` does."""
        if self.process.stdin:
            with suppress(BrokenPipeError):  # `reply` says how the process ended.
                self.process.stdin.write("\n")
                self.process.stdin.flush()
        return self.reply()


def contest(entries: Sequence[Entry], rounds: int, environment: Mapping[str, str]) -> list[Result]:
    """Starts all entries, one after another, then measures each once in every round.

    Raises RunError if one fails, or if they compute on different platforms.
    """
    results: list[Result] = []
    with ExitStack() as stack:
        processes: list[_Process] = []
        for entry in progress(entries, len(entries), "starting", "contestants"):
            messages = stack.enter_context(tempfile.TemporaryFile())
            processes.append(stack.enter_context(_Process(entry, environment, messages)))
            results.append(Result(entry, processes[-1].reply()))
            by = results[-1].facts.get("convolutions")
            say(f"  ready: {entry}" + (f", convolutions by {by}" if by else ""))
        platforms = {str(result.entry): result.facts["platform"] for result in results}
        if len(set(platforms.values())) > 1:
            raise RunError(f"the contestants do not compute on the same platform: {platforms}")
        turns = [turn for _ in range(rounds) for turn in zip(processes, results, strict=True)]
        for process, result in progress(turns, len(turns), "measuring", "turns"):
            result.add(process.measure())
            if result is results[-1]:
                seconds = ", ".join(f"{each.seconds[-1]:.3g}" for each in results)
                say(f"  round {len(result.seconds)} of {rounds}: {seconds} s a step")
    return results


@dataclass(frozen=True)
class Ratio:
    """Ratio of a quantity of two entries, for each round if the quantity has rounds."""

    mode: str
    quantity: str
    compared: str
    """Both entries, such as "ours: SE over plain"."""
    values: Sequence[float]

    @property
    def median(self) -> float:
        """Median over the rounds."""
        return statistics.median(self.values)


def ratios(results: Sequence[Result]) -> list[Ratio]:
    """Returns the cost of squeeze-and-excitation in each variant, then ours against the fastest of timm and Flax.

    The first letters of a variant's name are "ours", "timm" or "flax".
    """
    found: list[Ratio] = []
    for mode in dict.fromkeys(result.entry.mode for result in results):
        own = [result for result in results if result.entry.mode == mode]
        se, plain = (
            {result.entry.variant: result for result in own if result.entry.squeeze_excite == with_se}
            for with_se in (True, False)
        )
        for variant, result in se.items():
            compared = f"{variant}: SE over plain"
            found += [
                _slowness(mode, compared, result, plain[variant]),
                *_bytes(mode, compared, result, plain[variant]),
            ]
        for variant in [name for name in se if name.startswith("ours")]:
            for kind, peers in (("SE", se), ("plain", plain)):
                rivals = [name for name in peers if name.startswith("timm")]
                rivals = sorted(rivals, key=lambda name: statistics.median(peers[name].seconds))[:1]
                for peer in rivals + [name for name in peers if name.startswith("flax")]:
                    compared = f"{variant}, SE, over {peer}, {kind}"
                    speed = _slowness(mode, compared, peers[peer], se[variant])
                    found.append(replace(speed, quantity="speed"))
                    found += _bytes(mode, compared, se[variant], peers[peer]) if kind == "SE" else []
    return found


def _slowness(mode: str, compared: str, one: Result, other: Result) -> Ratio:
    return Ratio(mode, "time", compared, [a / b for a, b in zip(one.seconds, other.seconds, strict=True)])


def _bytes(mode: str, compared: str, one: Result, other: Result) -> list[Ratio]:
    found = [Ratio(mode, "peak memory", compared, [one.peak_memory / other.peak_memory])]
    for fact in ("compiled_memory", "bytes_accessed"):
        if fact in one.facts and fact in other.facts:
            found.append(Ratio(mode, fact.replace("_", " "), compared, [one.facts[fact] / other.facts[fact]]))
    return found
