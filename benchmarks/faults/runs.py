"""Training runs as processes that can be watched and harmed, and counts of the faults that they survived."""

import atexit
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import jax

from senet_jax.checkpoints import verify
from senet_jax.training import logs
from senet_jax.weights import manifests

ROOT = Path(__file__).parents[2]
EVERY = 20
"""Steps from one checkpoint to the next."""
EVALUATED_EVERY = 50
FLAGS = [
    "--config.model.name=se_resnet20_cifar",
    "--config.data.crop_padding=1",
    "--config.optimizer.ema_decay=0.9",
    "--config.batch_size=32",
    "--config.log_every=1 steps",
    f"--config.checkpoint_every={EVERY} steps",
    f"--config.eval_every={EVALUATED_EVERY} steps",
]
SMALL = ("tests/training/process.py", "train")
"""The program with a network of one block, which is quick to compile."""
COMPILING = "compiling the training step"
COMPILED = "compiled, with the first step"
_PATIENCE = 600.0
_POLL = 0.002


@dataclass
class Tally:
    """Counts how often a fault was tried and survived."""

    fault: str
    survived: int = 0
    lost: int = 0
    seconds: list[float] = field(default_factory=list)
    """Seconds of each recovery that was measured."""
    seen: str = ""

    def count(self, good: bool) -> None:
        """Counts one more try; a lost one is printed at once."""
        self.survived += good
        self.lost += not good
        if not good:
            print(f"LOST: {self.fault}", file=sys.stderr, flush=True)

    def lose(self, why: str) -> None:
        """Counts all tries as lost."""
        self.survived, self.lost, self.seen = 0, self.survived + self.lost, why

    def row(self) -> dict[str, Any]:
        """Returns the row of the table."""
        seconds = f"{median(self.seconds):.2f}" if self.seconds else ""
        counts = {"tries": self.survived + self.lost, "survived": self.survived, "lost": self.lost}
        return {"fault": self.fault} | counts | {"seconds_to_recover": seconds, "seen": self.seen}


class Run:
    """A command as a process, whose lines are read as they come."""

    def __init__(self, workdir: Path, flags: Sequence[str], program: Sequence[str] = ("launch.py",), **settings: str):
        """Starts the process; the settings are environment variables."""
        self.workdir = workdir
        self.lines: list[tuple[float, str]] = []
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, *program, *flags, f"--workdir={workdir}"],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        atexit.register(self.process.kill)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None  # noqa: S101
        for line in self.process.stdout:
            self.lines.append((time.monotonic() - self.began, line))

    def seconds_to(self, text: str) -> float | None:
        """Returns the seconds from the start to the first line with that text; None if no line has it."""
        return next((seconds for seconds, line in self.lines if text in line), None)

    def wait_until(self, reached: Callable[[], Any]) -> bool:
        """Waits; returns False if the process ends before. Raises TimeoutError after ten minutes."""
        until = time.monotonic() + _PATIENCE
        while not reached():
            if self.process.poll() is not None:
                return False
            if time.monotonic() > until:
                self.process.kill()
                raise TimeoutError(f"{self.process.args}: {self.output}")
            time.sleep(_POLL)
        return True

    def wait_for(self, text: str) -> bool:
        """Waits for a line with that text; returns False if the process ends before."""
        return self.wait_until(lambda: self.seconds_to(text) is not None)

    def wait_for_step(self, step: int) -> bool:
        """Waits for the record of a training step; returns False if the process ends before."""
        return self.wait_until(lambda: newest(self.workdir)[1] >= step)

    def end(self, signum: int | None = None) -> float:
        """Sends the signal, if any, waits for the end and returns the seconds that it took."""
        began = time.monotonic()
        if signum is not None:
            self.process.send_signal(signum)
        self.process.wait(_PATIENCE)
        seconds = time.monotonic() - began
        self._reader.join(5)  # A worker that outlives its parent keeps the pipe open.
        return seconds

    @property
    def status(self) -> int | None:
        """Exit status; if a signal ended the process, minus its number."""
        return self.process.returncode

    @property
    def output(self) -> str:
        """All lines so far."""
        return "".join(line for _, line in self.lines)

    def went_on_after(self) -> int | None:
        """Returns the step of the checkpoint that it went on from; None if it did not say."""
        found = re.search(r"goes on after step (\d+)", self.output)
        return int(found[1]) if found else None


def free_address() -> str:
    """Returns an address of this machine, as in localhost:54321, on which nothing listens yet."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return f"localhost:{free.getsockname()[1]}"


def finished(workdir: Path, flags: Sequence[str], **arguments: Any) -> Run:
    """Returns a run that has ended. Raises RuntimeError if it failed."""
    run = Run(workdir, flags, **arguments)
    run.end()
    if run.status:
        raise RuntimeError(f"a run ended with status {run.status}:\n{run.output}")
    return run


def records(workdir: Path) -> list[dict[str, Any]]:
    """Returns the log of a run, without its speed."""
    timed = ("images_per_second", "seconds", "data_wait")
    return [{name: value for name, value in record.items() if name not in timed} for record in logs.read(workdir)]


def newest(workdir: Path) -> tuple[str, int]:
    """Returns the split and the step of the newest record, ("", 0) if there is none."""
    with contextlib.suppress(OSError):
        with (workdir / "metrics.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 1000))
            end = file.read().decode().splitlines(keepends=True)
        whole = [line for line in end if line.endswith("\n") and line.startswith("{")]
        if whole:
            words = re.search(r'"split": "(\w+)", "step": (\d+)', whole[-1])
            if words:
                return words[1], int(words[2])
    return "", 0


def checkpoints(workdir: Path) -> list[int]:
    """Returns the steps of the complete checkpoints, in order."""
    return sorted(int(path.name) for path in (workdir / "checkpoints").glob("*") if path.name.isdecimal())


def difference(expected: Path, given: Path) -> str:
    """Returns how the newest checkpoint and the log of a run differ from those of another; "" if no bit does."""
    steps = [(checkpoints(workdir) or [0])[-1] for workdir in (expected, given)]
    if steps[0] != steps[1]:
        return f"its newest checkpoint is of step {steps[1]}, not {steps[0]}"
    trees = [verify(workdir / f"checkpoints/{steps[0]}") for workdir in (expected, given)]
    leaves = list(zip(*map(jax.tree.leaves, trees), strict=True))
    wrong = sum(manifests.digests(a) != manifests.digests(b) for a, b in leaves)  # A NaN is not equal to itself.
    if wrong:
        return f"{wrong} of {len(leaves)} arrays differ"
    return "" if records(expected) == records(given) else "the logs differ"


@dataclass(frozen=True)
class Place:
    """A directory for runs that share prepared data and compiled programs."""

    directory: Path
    steps: int
    program: tuple[str, ...] = ("launch.py",)

    @property
    def flags(self) -> list[str]:
        """The flags of every run."""
        return [*FLAGS, f"--config.duration={self.steps} steps", f"--config.data.data_dir={self.directory / 'data'}"]

    @property
    def settings(self) -> dict[str, str]:
        """Keeps compiled programs, so that a restart takes seconds."""
        programs = str(self.directory / "programs")
        return {"JAX_COMPILATION_CACHE_DIR": programs, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}

    def start(self, name: str, *flags: str, **settings: str) -> Run:
        """Starts a run in a workdir of that name."""
        return Run(self.directory / name, [*self.flags, *flags], self.program, **self.settings | settings)

    def whole(self) -> Path:
        """Returns the workdir of a run that nothing has harmed."""
        workdir = self.directory / "whole"
        if not (workdir / "result.json").exists():
            shutil.rmtree(workdir, ignore_errors=True)
            finished(workdir, self.flags, program=self.program, **self.settings)
        return workdir

    def recovered(self, tally: Tally, name: str) -> bool:
        """Goes on with a harmed run to its end; returns whether it ends bit-equal to the whole one."""
        run = self.start(name)
        run.end()
        first = run.seconds_to(COMPILED)
        if first is not None:
            tally.seconds.append(first)
        wrong = f"status {run.status}: {run.output[-500:]}" if run.status else ""
        wrong = wrong or difference(self.whole(), self.directory / name)
        if wrong:
            print(f"{tally.fault}: {wrong}", file=sys.stderr, flush=True)
        return not wrong
