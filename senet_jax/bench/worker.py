"""Protocol of the contestants: a process that is started once and measures its steps on request.

It uses the standard library alone, because the peer's Python runs it too, and Linux with glibc. The first argument is
the settings in JSON. Each line of the standard input requests one measurement. Each line of the standard output is
JSON: first the facts of the contestant, then the measurements.
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
    """Facts of the contestant for its row of the table, with `platform`, "cpu", "gpu" or "tpu"."""

    def run(self, steps: int) -> None:
        """Runs that many steps, and waits until they are done."""

    def peak_memory(self) -> int | None:
        """Returns the peak of the accelerator's memory in bytes; None without an accelerator."""

    def release(self) -> None:
        """Frees the accelerator's memory that is kept without need."""


def serve(make: Callable[[dict[str, Any]], Contestant]) -> None:
    """Makes the contestant, warms it up, and measures it on request."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # Output of libraries is not a reply.
    settings, before = json.loads(sys.argv[1]), _resident("VmRSS")
    contestant = make(settings)
    contestant.run(2)
    steps = max(1, round(settings["turn_seconds"] / _measured(contestant, 1)["seconds"]))
    contestant.run(steps)
    _rest(contestant)
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # The peak of the resident memory begins anew.
    print(json.dumps(contestant.facts), file=replies)
    for _ in sys.stdin:
        contestant.run(1)  # Memory was given back.
        measured = _measured(contestant, steps)
        peak = contestant.peak_memory()
        measured["peak_memory"] = _resident("VmHWM") - before if peak is None else peak
        _rest(contestant)
        print(json.dumps(measured), file=replies)


def _measured(contestant: Contestant, steps: int) -> dict[str, float]:
    """Returns the seconds of one step, and their sum over all cores."""
    began, cores_began = time.perf_counter(), time.process_time()
    contestant.run(steps)
    seconds, cores = time.perf_counter() - began, time.process_time() - cores_began
    return {"seconds": seconds / steps, "cpu_seconds": cores / steps}


def _rest(contestant: Contestant) -> None:
    """Frees memory before the turns of others, so that all contestants fit into it."""
    contestant.release()
    ctypes.CDLL(None).malloc_trim(0)


def _resident(name: str) -> int:
    """Returns the resident memory of this process in bytes: now ("VmRSS") or its peak ("VmHWM")."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    return 1024 * int(status[name].split()[0])
