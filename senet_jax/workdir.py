"""The directory of a run: names of its files, its configuration, and its state."""

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import IO, Any

from senet_jax.config import Experiment
from senet_jax.files import read_json, write_json
from senet_jax.schema import Adjustable, did_you_mean, extras, field_types, flatten, from_dict, said, to_dict
from senet_jax.sweep import Row
from senet_jax.texts import some

CONFIG = "config.json"
"""Configuration, written at the start."""
NETWORK = "network.json"
"""Network, class names and preprocessing, written at the start."""
INIT = "init.json"
"""Weights that the run started from, if its values were not random."""
METRICS = "metrics.jsonl"
"""Records of training and evaluation."""
CHECKPOINTS = "checkpoints"
DAMAGED = "damaged_checkpoints"
"""Checkpoints that differ from the saved state."""
BAD_IMAGES = "bad_images.jsonl"
"""Images that could not be read, if there were any."""
BEST = "best.safetensors"
"""Variables of the best evaluation so far, by config.best_by."""
CURVES = "curves.png"
EXCITATIONS = "excitations"
"""Directory of the figures and tables of `analyze`."""
RESULT = "result.json"
"""Test metrics and provenance of a finished run."""
LOG = "log.txt"
"""Output of a run of a sweep."""
FAILURE = "failure.json"
"""Error of a failed run of a sweep; removed when it is tried again."""
LOCK = ".lock"
"""Lock that the training process holds."""
SWEEP = "sweep.json"
"""Variants of a sweep, in the directory above those of its runs."""


class RunState(Enum):
    """The state of a run, by the files in its workdir."""

    NEW = "new"
    STARTED = "started"
    """It has no checkpoint yet."""
    PARTIAL = "partial"
    """It has a checkpoint, and no result."""
    FAILED = "failed"
    """It is of a sweep, and ended with an error."""
    DONE = "done"
    """It has a result."""


class RunError(Exception):
    """Ends a run; the message says it all."""


class BusyError(RunError):
    """Another process is writing in the directory."""


def read_config(workdir: Path, wanted: str = "a training run") -> Experiment:
    """Reads the configuration of the run in a workdir. Raises ValueError if it has none; `wanted` says of what."""
    path = workdir / CONFIG
    if not path.is_file():
        check_single(workdir)
        near = did_you_mean(workdir.name, (other.parent.name for other in workdir.parent.glob(f"*/{CONFIG}")))
        raise ValueError(f"--workdir is {str(workdir)!r}, without a {CONFIG}; it must be that of {wanted}{near}")
    return read_config_file(path)


def read_config_file(path: Path) -> Experiment:
    """Reads the configuration in a file as `write_config` writes it. Raises ValueError if it holds something else."""
    try:
        return from_dict(Experiment, json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def write_config(workdir: Path, config: Experiment) -> None:
    """Writes the configuration that `read_config` reads."""
    write_json(workdir / CONFIG, to_dict(config))


def check(workdir: Path, config: Experiment) -> None:
    """Raises ValueError if the workdir holds the run of another configuration."""
    _check_directory(workdir)
    check_single(workdir)
    if (workdir / CONFIG).exists():
        check_same(read_config(workdir), config, f"--workdir={workdir}")


def _check_directory(workdir: Path) -> None:
    if workdir.exists() and not workdir.is_dir():
        raise ValueError(f"--workdir={workdir} is a file; give a directory, new or of an earlier run")


def check_single(workdir: Path) -> None:
    """Raises ValueError if the workdir holds a sweep."""
    if (workdir / SWEEP).exists():
        raise ValueError(f"--workdir={workdir} holds a sweep; give another directory, or that of one of its runs")


def read_sweep(workdir: Path) -> tuple[str, dict[str, Row]]:
    """Reads the name and the variants of the sweep in a workdir. Raises ValueError if they are damaged."""
    path = workdir / SWEEP
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return str(content["name"]), {name: Row(**row) for name, row in content["variants"].items()}
    except (AttributeError, ValueError, KeyError, TypeError):
        raise ValueError(
            f"{path} does not hold the variants of a sweep; the same sweep command writes it anew"
        ) from None


def check_sweep(workdir: Path, name: str, variants: Collection[str]) -> None:
    """Raises ValueError if the workdir holds a run or another sweep, or runs of variants that this one lacks."""
    _check_directory(workdir)
    if (workdir / CONFIG).exists():
        raise ValueError(f"--workdir={workdir} holds a training run; give another directory for the sweep")
    try:
        held, before = read_sweep(workdir)
    except (OSError, ValueError):  # A damaged one is written anew.
        return
    lacking = [each for each in before if each not in variants and (workdir / each).exists()]
    if held != name or lacking:
        runs = f", with runs that this one lacks: {some(lacking, 3)}" if lacking else ""
        raise ValueError(f"--workdir={workdir} holds the sweep {held}{runs}; give another directory")


def check_same(held: Experiment, config: Experiment, holder: str) -> None:
    """Raises ValueError with the differing fields if two configurations, the first in `holder`, are different."""
    before, now, kinds = flatten(held), flatten(config), field_types(type(config))
    names = [name for name in now if now[name] != before[name] and not extras(kinds[name], Adjustable)]
    if names:
        differ = [f"{name} is {said(now[name])}, was {said(before[name])}" for name in names]
        raise ValueError(
            f"{holder} holds a run of another configuration: {'; '.join(differ)}. Give another workdir, "
            "or the same configuration to go on. A longer run has another schedule: it starts anew in another workdir, "
            "from the weights of this one if --config.init.weights is its directory"
        )


@contextmanager
def locked(directory: Path, task: str = "training") -> Iterator[None]:
    """Makes the directory and keeps it for this process. Raises BusyError if another process is at the task there."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK).open("w", encoding="utf-8") as lock:
        _lock(lock, directory, task, shared=False)
        yield


def _lock(file: IO[str], directory: Path, task: str, *, shared: bool) -> None:
    import fcntl  # Windows lacks it, and reading a workdir does not need it.

    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BusyError(f"another process is {task} in {directory}; wait for it, or give another directory") from None


def check_free(workdir: Path) -> None:
    """Raises BusyError if another process is training in the workdir. Several processes can look at once."""
    with suppress(FileNotFoundError, NotADirectoryError), (workdir / LOCK).open(encoding="utf-8") as lock:
        _lock(lock, workdir, "training", shared=True)


def is_busy(workdir: Path) -> bool:
    """Returns whether another process is training in the workdir."""
    try:
        check_free(workdir)
    except BusyError:
        return True
    return False


def no_checkpoint(workdir: Path) -> ValueError:
    """Returns the error of a workdir whose run has saved nothing that can be restored."""
    return ValueError(f"{workdir} has no complete checkpoint; train first, or give another workdir")


def read_result(workdir: Path) -> dict[str, Any]:
    """Reads the result of a finished run. Raises ValueError if it is damaged."""
    path = workdir / RESULT
    try:
        result = read_json(path)
        if not isinstance(result, dict) or not isinstance(result.get("accuracy"), int | float):
            raise ValueError(f"{path} is damaged: it has no accuracy")
    except ValueError as error:
        raise ValueError(f"{error}; remove the file, and the command of the run writes it anew") from error
    return result


def write_result(workdir: Path, result: dict[str, Any]) -> None:
    """Writes the result, which marks the run as finished."""
    write_json(workdir / RESULT, result)


def write_init(workdir: Path, source: str) -> None:
    """Writes the weights that the run starts from."""
    write_json(workdir / INIT, {"weights": source})


def read_init(workdir: Path) -> str | None:
    """Reads the weights that the run started from; None: random values."""
    path = workdir / INIT
    return read_json(path)["weights"] if path.is_file() else None


def write_failure(workdir: Path, message: str) -> None:
    """Writes the first line of the error of a failed run."""
    workdir.mkdir(parents=True, exist_ok=True)  # A process can die before it makes the directory.
    write_json(workdir / FAILURE, {"message": message.partition("\n")[0]})


def state(workdir: Path) -> RunState:
    """Returns the state of the run in a workdir."""
    if (workdir / RESULT).is_file():
        return RunState.DONE
    if (workdir / FAILURE).exists():
        return RunState.FAILED
    if has_checkpoints(workdir):
        return RunState.PARTIAL
    return RunState.STARTED if (workdir / CONFIG).is_file() else RunState.NEW


def describe(workdir: Path) -> str:
    """Returns the state of a run in words, such as "new", "partial, step 40" or "done, accuracy 97.21%"."""
    match found := state(workdir):
        case RunState.DONE:
            return f"done, accuracy {read_result(workdir)['accuracy']:.2%}"
        case RunState.FAILED:
            with suppress(ValueError, TypeError, KeyError):
                return f"failed: {read_json(workdir / FAILURE)['message']}"
            return f"failed; {FAILURE} is damaged"
        case RunState.PARTIAL:
            return f"partial, step {max(_steps(workdir)):,}"
        case _:
            return found.value


def has_checkpoints(workdir: Path) -> bool:
    """Returns whether the run in a workdir has a checkpoint to go on from."""
    return bool(_steps(workdir))


def _steps(workdir: Path) -> list[int]:
    saved = (workdir / CHECKPOINTS).glob("*")
    return [int(directory.name) for directory in saved if directory.name.isdecimal()]
