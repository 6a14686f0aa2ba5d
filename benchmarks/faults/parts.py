"""Parts of a run that fail: data workers, numbers, devices' memory, and one of several processes."""

import fnmatch
import os
import re
import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from benchmarks.faults.runs import (
    COMPILED,
    EVERY,
    SMALL,
    Place,
    Run,
    Tally,
    checkpoints,
    difference,
    finished,
    free_address,
    newest,
)
from senet_jax.checkpoints import verify

_STEPS = 6 * EVERY
_ADDRESSES = 8 * 2**30


def campaign(directory: Path, tries: int, pattern: str) -> Iterator[Tally]:
    """Yields a tally for each fault whose name matches the pattern."""
    for fault in fnmatch.filter(_FAULTS, pattern):
        tally = Tally(fault)
        for number in range(tries):
            tally.count(_FAULTS[fault](directory, tally, number))
        yield tally


def _worker(signum: signal.Signals, said: str) -> Callable[[Path, Tally, int], bool]:
    def harm(directory: Path, tally: Tally, number: int) -> bool:
        place, name = Place(directory, _STEPS, SMALL), f"worker{signum}_{number}"
        run = place.start(name, "--config.data.workers=2", "--config.data.memory_limit_gib=0")
        run.wait_for_step(EVERY + 5 + number)
        worker = _children(run.process.pid)[number % 2]
        began = time.monotonic()
        os.kill(worker, signum)
        run.end()
        seconds = time.monotonic() - began
        tally.seen = f"named with its process, at most {seconds:.1f} s after the signal"
        named = re.search(rf"error: data worker \d of 2, process {worker}, {said}", run.output)
        if run.status != 1 or not named or seconds > 10 or "Traceback" in run.output or _alive(worker):
            print(run.status, run.output[-3000:], seconds)
            return False
        return place.recovered(tally, name)

    return harm


def _killed_parent(directory: Path, tally: Tally, number: int) -> bool:
    """Kills a run that has data workers: they end too."""
    place, name = Place(directory, _STEPS, SMALL), f"parent{number}"
    run = place.start(name, "--config.data.workers=2", "--config.data.memory_limit_gib=0")
    run.wait_for_step(EVERY + 5 + number)
    workers = _children(run.process.pid)
    run.end(signal.SIGKILL)
    began = time.monotonic()
    while any(map(_alive, workers)) and time.monotonic() - began < 30:
        time.sleep(0.1)
    tally.seen = f"{len(workers)} workers end within {time.monotonic() - began:.1f} s"
    if not workers or any(map(_alive, workers)):
        print("workers outlive their run", workers)
        return False
    return place.recovered(tally, name)


def _children(pid: int) -> list[int]:
    """The data workers of a process, without the helper that counts semaphores."""
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    children = sorted(int(child) for thread in threads for child in thread.read_text(encoding="utf-8").split())
    return [child for child in children if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes()]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _write_poisoned(directory: Path) -> Path:
    """Writes class folders of the digits in the grey values 0 to 3, and one picture of 255."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    for number, (image, label) in enumerate(zip(pixels[:480], labels[:480], strict=True)):
        folder = directory / ("test" if number % 5 == 0 else "train") / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        value = (image.reshape(8, 8) // 5.34).astype(np.uint8)
        Image.fromarray(np.full_like(value, 255) if number == 1 else value).save(folder / f"{number}.png")
    return directory


def _poisoned(directory: Path, tally: Tally, number: int) -> bool:
    """Trains on a picture so bright that the squares of its maps overflow; the bad steps are left out.

    A run that is killed leaves out the same ones. With no bad step allowed the run ends.
    """
    place, data = Place(directory, _STEPS, SMALL), directory / "poisoned"
    if not data.exists():
        _write_poisoned(data)
    flags = [*place.flags, "--config.data.name=folder", f"--config.data.path={data}", "--config.data.mean=0"]
    flags += ["--config.data.std=2e-20"]
    whole, harmed = directory / "bad_whole", directory / f"bad{number}"
    allowed = "--config.optimizer.bad_steps=100"
    if not whole.exists():
        finished(whole, [*flags, allowed], program=SMALL, **place.settings)
    run = Run(harmed, [*flags, allowed], program=SMALL, **place.settings)
    run.wait_for_step(2 * EVERY + 5 + number)
    run.end(signal.SIGKILL)
    run = finished(harmed, [*flags, allowed], program=SMALL, **place.settings)
    tally.seconds.append(run.seconds_to(COMPILED) or 0.0)
    told = re.findall(r"step (\d+) is bad: .*; it was left out, (\d+) in all", run.output)
    stops = Run(directory / f"stops{number}", flags, program=SMALL, **place.settings)
    stops.end()
    tally.seen = f"{told[-1][1] if told else 0} steps left out, the same ones after a kill; with none allowed it ends"
    wrong = difference(whole, harmed)
    ended = re.search(r"step \d+ is bad: .*1 bad steps are more than config.optimizer.bad_steps, 0", stops.output)
    if wrong or not told or stops.status != 1 or not ended or "Traceback" in stops.output:
        print(wrong, run.output[-3000:], stops.status, stops.output[-3000:])
        return False
    return True


def _out_of_memory(directory: Path, tally: Tally, number: int) -> bool:
    """Trains with a batch whose maps need more memory than the system allows the process."""
    workdir = directory / f"memory{number}"
    flags = ["--config.model.name=se_resnet20_cifar", f"--config.data.data_dir={directory / 'data'}"]
    run = Run(workdir, [*flags, "--config.data.image_size=224", "--config.batch_size=1400"], SMALL)
    resource.prlimit(run.process.pid, resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))
    run.end()
    told = re.search(r"error: (out of memory: .*? GiB on each device)", run.output)
    tally.seen = f"under a limit of {_ADDRESSES / 2**30:.0f} GiB: {told[1] if told else ''}"
    if run.status != 1 or not told or "Traceback" in run.output:
        print(run.status, run.output[-3000:])
        return False
    return True


_TOGETHER = [
    "--config.model.name=se_resnet20_cifar", "--config.model.ratio=2", "--config.model.statistics_group=8",
    "--config.batch_size=16", "--config.eval_batch_size=184", "--config.data.crop_padding=1",
    "--config.duration=40 steps", "--config.log_every=1 steps", "--config.checkpoint_every=4 steps",
    "--config.eval_every=20 steps", "--config.optimizer.warmup=5 steps",
]  # fmt: skip
_FLOAT64 = {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "true", "JAX_DISABLE_MOST_OPTIMIZATIONS": "true"}


def _other_devices(directory: Path, tally: Tally, number: int) -> bool:
    """Goes on with a run on 1, 2, 4 and 8 devices in turn; compares with one on a single device, in float64."""
    flags = [*_TOGETHER, f"--config.data.data_dir={directory / 'data'}"]
    one, turns = directory / "one_device", directory / f"devices{number}"
    if not one.exists():
        finished(one, flags, program=SMALL, **_FLOAT64, JAX_NUM_CPU_DEVICES="1")
    for devices in (1, 2, 4, 8) if number % 2 == 0 else (8, 4, 2, 1):
        run = Run(turns, flags, SMALL, **_FLOAT64, JAX_NUM_CPU_DEVICES=str(devices))
        if run.wait_for_step(newest(turns)[1] // 4 * 4 + 9):
            run.end(signal.SIGTERM)
        if run.seconds_to(COMPILED):
            tally.seconds.append(run.seconds_to(COMPILED) or 0.0)
    finished(turns, flags, program=SMALL, **_FLOAT64, JAX_NUM_CPU_DEVICES="2")
    trees = [jax.tree.leaves(verify(workdir / "checkpoints/40")) for workdir in (one, turns)]
    worst = max(float(np.max(np.abs(a - b), initial=0.0)) for a, b in zip(*trees, strict=True))
    tally.seen = f"1, 2, 4 and 8 devices in turn: largest difference of any array after 40 steps {worst:.1e} in float64"
    return worst < 1e-10


def _pair(workdir: Path, directory: Path, *flags: str) -> list[Run]:
    """Starts a run of two processes."""
    coordinator = f"--coordinator={free_address()}"
    common = [*_TOGETHER, f"--config.data.data_dir={directory / 'data'}", coordinator, "--num_processes=2", *flags]
    settings = _FLOAT64 | {"JAX_NUM_CPU_DEVICES": "1"}
    return [Run(workdir, [*common, f"--process_id={index}"], SMALL, **settings) for index in range(2)]


def _whole_pair(directory: Path) -> Path:
    workdir = directory / "pair"
    if not workdir.exists():
        for run in _pair(workdir, directory):
            run.end()
    return workdir


def _ended(run: Run, status: int | None) -> bool:
    """Tells whether the run ended with that status; None: with an error."""
    return run.status != 0 if status is None else run.status == status


def _one_of_two(
    signum: signal.Signals, flags: list[str], most_seconds: float, said: str, status: int | None
) -> Callable[[Path, Tally, int], bool]:
    """Signals the second of two processes, and expects the end of the first within the time."""

    def harm(directory: Path, tally: Tally, number: int) -> bool:
        whole, workdir = _whole_pair(directory), directory / f"pair{signum}_{len(flags)}_{number}"
        first, second = _pair(workdir, directory, *flags)
        first.wait_for_step(9 + number)
        began = time.monotonic()
        second.process.send_signal(signum)
        first.end()
        seconds = time.monotonic() - began
        if signum != signal.SIGTERM:
            second.end(signal.SIGKILL)
        second.end()
        tally.seen = f"the other ends after {seconds:.1f} s with status {first.status}"
        if seconds > most_seconds or not _ended(first, status) or said not in first.output:
            print(seconds, first.status, first.output[-3000:])
            return False
        again = _pair(workdir, directory)
        for run in again:
            run.end()
        tally.seconds.append(again[0].seconds_to(COMPILED) or 0.0)
        wrong = difference(whole, workdir)
        if wrong or not checkpoints(workdir):
            print(wrong, again[0].output[-3000:])
        return not wrong

    return harm


_HEARTBEAT = "--heartbeat_timeout=10"
_FAULTS: dict[str, Callable[[Path, Tally, int], bool]] = {
    "data worker killed": _worker(signal.SIGKILL, "was ended by SIGKILL"),
    "data worker stopped": _worker(signal.SIGSTOP, "is stopped by a signal"),
    "run with data workers killed": _killed_parent,
    "batch with a loss that is not finite": _poisoned,
    "out of memory": _out_of_memory,
    "another number of devices": _other_devices,
    "one of two processes killed": _one_of_two(signal.SIGKILL, [_HEARTBEAT], 15.0, "", None),
    "one of two processes stopped": _one_of_two(signal.SIGSTOP, [_HEARTBEAT], 15.0, "", None),
    "one of two stuck in a step": _one_of_two(
        signal.SIGSTOP, ["--heartbeat_timeout=300", "--config.stuck_after=40"], 60.0, "most recent call first", 1
    ),
    "SIGTERM to one of two processes": _one_of_two(signal.SIGTERM, [], 30.0, "stopped by SIGTERM after step", 143),
}
