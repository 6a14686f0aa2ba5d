"""What every contestant of the benchmark does: a process that is started once and answers how long some steps take.

On standard library alone, because the peer's Python runs it too; Linux with glibc. The settings are JSON, the first
argument. Each line on the standard input asks for one measurement; each line on the standard output is JSON: first what
is known of the contestant, then the measurements.
"""

import ctypes
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Contestant(Protocol):
    """A network, ready to compute."""

    facts: dict[str, Any]
    """What is known of it: `platform`, "cpu" or "gpu", and what belongs into its row of the table."""

    def run(self, steps: int) -> None:
        """Does that many steps, and waits until they are done."""

    def peak_memory(self) -> int | None:
        """Bytes of the accelerator's memory in use at most; None where there is no accelerator."""

    def release(self) -> None:
        """Gives back the accelerator's memory that it keeps and does not need."""


def serve(make: Callable[[dict[str, Any]], Contestant]) -> None:
    """Makes the contestant, warms it up, and measures it as often as it is asked to."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # What libraries print is no reply.
    settings, before = json.loads(sys.argv[1]), _resident("VmRSS")
    contestant = make(settings)
    contestant.run(2)
    steps = max(1, round(settings["turn_seconds"] / _measured(contestant, 1)["seconds"]))
    contestant.run(steps)
    _rest(contestant)
    Path("/proc/self/clear_refs").write_text("5")  # The peak of the resident memory begins anew.
    print(json.dumps(contestant.facts), file=replies)
    for _ in sys.stdin:
        contestant.run(1)  # Memory was given back.
        measured = _measured(contestant, steps)
        peak = contestant.peak_memory()
        measured["peak_memory"] = _resident("VmHWM") - before if peak is None else peak
        _rest(contestant)
        print(json.dumps(measured), file=replies)


def _measured(contestant: Contestant, steps: int) -> dict[str, float]:
    """Seconds of one step, and of all cores together."""
    began, cores_began = time.perf_counter(), time.process_time()
    contestant.run(steps)
    seconds, cores = time.perf_counter() - began, time.process_time() - cores_began
    return {"seconds": seconds / steps, "cpu_seconds": cores / steps}


def _rest(contestant: Contestant) -> None:
    """Gives memory back while others have their turn, so that all fit beside each other."""
    contestant.release()
    ctypes.CDLL(None).malloc_trim(0)


def _resident(name: str) -> int:
    """Bytes of this process in memory: now ("VmRSS") or at most ("VmHWM")."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(status[name].split()[0])
