"""Disks that are full, read-only or gone, and two runs in one workdir."""

import contextlib
import fnmatch
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import senet_jax
from benchmarks.faults.runs import COMPILING, EVERY, SMALL, Place, Run, Tally, checkpoints
from senet_jax.checkpoints import verify

_STEPS = 6 * EVERY
_DISK_BYTES = 40 * 2**20
_SECONDS_TO_REFUSE = 30.0
_PACKAGE = str(Path(senet_jax.__file__).parent)
"""Only in tracebacks. One of tensorstore's threads, which finds asyncio's loop closed, can stand beside the error."""


def campaign(directory: Path, tries: int, pattern: str) -> Iterator[Tally]:
    """Yields a tally for each fault whose name matches the pattern.

    It mounts small disks, which needs root, or `unshare -rm` before the command.
    """
    place = Place(directory, _STEPS, SMALL)
    place.whole()
    for fault in fnmatch.filter(_FAULTS, pattern):
        tally = Tally(fault)
        for number in range(tries):
            with _disk(directory / "disk"):
                tally.count(_FAULTS[fault](place, tally, EVERY + 5 + number * EVERY // tries))
        yield tally


@contextlib.contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Mounts a small disk in memory at the path."""
    path.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "faults", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def _full(place: Place, tally: Tally, step: int) -> bool:
    """Fills the disk in the middle of the run, and makes room again."""
    workdir, filler = place.directory / "disk/run", place.directory / "disk/filler"
    run = place.start("disk/run")
    run.wait_for_step(step)
    run.wait_until(lambda: checkpoints(workdir))
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(b"\0" * 2**16):
            pass
    run.end()
    filler.unlink()
    told = re.search(r"error: (.*)", run.output)
    tally.seen = told[1][:200] if told else ""
    said = told is not None and str(workdir) in told[1] and bool(re.search(r"[\d,]+ bytes free", told[1]))
    raised = _PACKAGE in run.output or "/orbax/" in run.output
    if run.status != 1 or raised or not said or not _whole(workdir):
        print(run.status, run.output[-3000:])
        return False
    return place.recovered(tally, "disk/run")


def _gone(place: Place, tally: Tally, step: int) -> bool:
    """Moves the workdir away in the middle of the run, as a mount that is lost, and back."""
    workdir = place.directory / "disk/run"
    run = place.start("disk/run")
    run.wait_for_step(step)
    run.wait_until(lambda: checkpoints(workdir) and not _is_saving(workdir))  # Orbax makes it anew while it saves.
    away = workdir.rename(workdir.with_name("away"))
    run.end()
    said = f"{workdir}/checkpoints does not exist any more" in run.output
    if run.status != 1 or "Traceback" in run.output or not said or workdir.exists() or not _whole(away):
        print(run.status, run.output[-3000:])
        return False
    away.rename(workdir)
    tally.seen = "the path is named, and nothing is made anew"
    return place.recovered(tally, "disk/run")


def _read_only(place: Place, tally: Tally, step: int) -> bool:
    """Starts a new run, and one that is to go on, on a disk that is read-only, which is then writable again."""
    run = place.start("disk/run")
    run.wait_for_step(step)
    run.end(signal.SIGKILL)
    _remount(place, "ro")
    refused = [place.start(f"disk/{name}") for name in ("run", "new")]
    seconds = max(run.end() for run in refused)
    tally.seen = f"refused before the first step, after {seconds:.0f} s at most"
    _remount(place, "rw")
    for run in refused:
        told = re.search(r"error: --workdir=\S+ cannot be written: Read-only file system", run.output)
        if run.status != 2 or not told or run.seconds_to(COMPILING) is not None or "Traceback" in run.output:
            print(run.status, run.output[-3000:])
            return False
    return place.recovered(tally, "disk/run")


def _two_runs(place: Place, tally: Tally, step: int) -> bool:
    """Starts a second process in the workdir while the first one trains."""
    first = place.start("disk/run")
    first.wait_for_step(step)
    second = place.start("disk/run")
    second.end()
    first.end()
    refused = second.status == 1 and "another process is training in" in second.output
    tally.seen = "the second is refused, the first ends bit-equal"
    if not refused or "Traceback" in second.output or first.status:
        print(second.status, second.output[-3000:], first.output[-3000:])
        return False
    return place.recovered(tally, "disk/run")


def _read_while_it_trains(place: Place, tally: Tally, step: int) -> bool:
    """Evaluates the workdir again and again while it trains; `eval` builds the network that `launch.py` trains."""
    place = Place(place.directory / "evaluated", _STEPS)
    name = f"run{tally.survived + tally.lost}"
    place.whole()
    run = place.start(name)
    run.wait_for_step(step)
    run.wait_until(lambda: checkpoints(run.workdir))
    readers = 0
    while run.process.poll() is None:
        reader = Run(run.workdir, [], ("launch.py", "eval"), **place.settings)
        reader.end()
        readers += 1
        if reader.status or "Traceback" in reader.output:
            print(reader.status, reader.output[-3000:])
            return False
    run.end()
    tally.seen = f"{readers} evaluations in the last one, and it ends bit-equal"
    return run.status == 0 and place.recovered(tally, name)


def _remount(place: Place, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", place.directory / "disk"], check=True)


def _is_saving(workdir: Path) -> bool:
    return any("tmp" in path.name for path in (workdir / "checkpoints").glob("*"))


def _whole(workdir: Path) -> bool:
    """Whether the workdir has checkpoints, all undamaged."""
    steps = checkpoints(workdir)
    for step in steps:
        verify(workdir / f"checkpoints/{step}")
    return bool(steps)


_FAULTS: dict[str, Callable[[Place, Tally, int], bool]] = {
    "disk full in the middle of a run": _full,
    "workdir gone in the middle of a run": _gone,
    "read-only disk": _read_only,
    "second process in the workdir": _two_runs,
    "evaluations of a workdir that trains": _read_while_it_trains,
}
