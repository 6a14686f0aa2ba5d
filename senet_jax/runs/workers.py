"""Runs of a sweep, each in its own directory, trained by processes that can die without harm to the others."""

import contextlib
import functools
import json
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import jax

from senet_jax import workdir as workdirs
from senet_jax.children import belong_to_parent
from senet_jax.config import DataConfig, Experiment
from senet_jax.cores import keep_to_part
from senet_jax.data import Dataset, open_dataset
from senet_jax.inherited import adopted
from senet_jax.runs.run import run
from senet_jax.schema import from_dict, to_dict
from senet_jax.terminal import program
from senet_jax.training.compilation import keep_programs
from senet_jax.training.plan import check_devices, make_plan
from senet_jax.training.starting import settled
from senet_jax.training.stopping import StoppedError, handled_by

_PATIENCE = 60.0
"""Seconds that a run has to save its state when the sweep is stopped."""
_SPAWN = multiprocessing.get_context("spawn")  # A process in which jax runs must not be forked.


def train_all(
    runs: Mapping[Path, Experiment],
    programs: Path,
    jobs: int,
    say: Callable[[Path, str], None],
    sources: Mapping[Path, Path],
) -> list[Path]:
    """Trains each run in its directory, `jobs` at a time; `say` gets the directory and how its run starts and ends.

    Each of the `jobs` has an equal part of the cores: a step with fewer threads waits less for their slowest.
    Compiled programs are kept in `programs`, so that runs which differ in seed or learning rate alone share theirs.
    `sources` are the directories of the runs, each before it, from whose weights a run starts; it waits for their end.

    Returns the directories that could not be written, so that their failure is not recorded there.
    """
    waiting, idle, unwritten = dict(runs), list[_Worker](), list[Path]()
    busy: dict[Any, tuple[_Worker, Path]] = {}

    def ended(directory: Path, error: Exception | None) -> None:
        if isinstance(error, OSError):
            unwritten.append(directory)
            say(directory, f"failed: {error}")
        else:
            say(directory, "skipped: another process is training it" if error else workdirs.describe(directory))

    try:
        while waiting or busy:
            while len(busy) < jobs and (directory := _next(waiting, [path for _, path in busy.values()], sources)):
                config, source = waiting.pop(directory), sources.get(directory)
                if source and workdirs.is_busy(source):
                    say(directory, f"skipped: another process is training {source}, from whose weights it starts")
                    continue
                if source and workdirs.state(source) is not workdirs.RunState.DONE:
                    fault = f"it starts from {source}, which is {workdirs.describe(source)}"
                    ended(directory, _record(directory, fault))
                    continue
                free = set(range(jobs)) - {worker.part for worker, _ in busy.values()}
                worker = idle.pop() if idle else _Worker(programs, min(free), jobs)
                busy[worker.connection] = worker, directory
                say(directory, "starts")
                with contextlib.suppress(ConnectionError):  # A worker that died while idle is noticed below.
                    worker.connection.send((directory, config))
            for ready in wait(list(busy)) if busy else ():
                worker, directory = busy.pop(ready)
                try:
                    outcome = worker.connection.recv()
                    idle.append(worker)
                except (EOFError, ConnectionError):
                    worker.process.join()
                    outcome = _record(directory, f"its process ended with exit code {worker.process.exitcode}")
                ended(directory, outcome)
        return unwritten
    finally:
        with handled_by(signal.SIG_DFL):  # A second signal ends the process at once.
            for worker, _ in busy.values():
                worker.process.terminate()  # It saves its state.
            for worker, _ in busy.values():
                worker.process.join(_PATIENCE)
                worker.process.kill()
        for worker in idle:
            worker.connection.close()
            worker.process.join()


def _next(waiting: Mapping[Path, Any], busy: list[Path], sources: Mapping[Path, Path]) -> Path | None:
    """Returns the first run whose source neither waits nor is busy; None if there is none."""
    return next((path for path in waiting if sources.get(path) not in (*waiting, *busy)), None)


class _Worker:
    """A process that trains one run after the other, on its part of the cores."""

    def __init__(self, programs: Path, part: int, jobs: int):
        self.part = part
        self.connection, theirs = _SPAWN.Pipe()
        self.process = _SPAWN.Process(target=_serve, args=(theirs, programs, part, jobs, program.invocation()))
        self.process.start()
        theirs.close()


def _serve(connection: Connection, programs: Path, part: int, jobs: int, command: str) -> None:
    belong_to_parent()  # So that the same command can start the same run at once.
    keep_to_part(part, jobs)
    if jobs > 1:
        os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{0.9 / jobs:.3f}")
    keep_programs(programs)
    while True:
        try:
            directory, config = connection.recv()
        except EOFError:
            return
        try:
            connection.send(_train(directory, config, command))
        except StoppedError as stopped:
            print(stopped, flush=True)
            return


def _record(directory: Path, fault: str) -> OSError | None:
    """Records a failure; returns the error if the directory cannot be written."""
    try:
        workdirs.write_failure(directory, fault)
    except OSError as error:
        return error
    return None


def _train(directory: Path, config: Experiment, command: str) -> Exception | None:
    """Trains the run; the result records the command.

    Returns the error if another process is training it, or if the directory cannot be written.
    """
    try:
        with workdirs.locked(directory):
            _train_alone(directory, config, command)
    except (workdirs.BusyError, OSError) as error:
        return error
    return None


def _train_alone(directory: Path, config: Experiment, command: str) -> None:
    if workdirs.state(directory) is workdirs.RunState.DONE:
        return
    with (directory / workdirs.LOG).open("ab") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    (directory / workdirs.FAILURE).unlink(missing_ok=True)
    try:
        config = adopted(config, directory)
        workdirs.check(directory, config)
        check_devices(config)
        config = settled(config)
        plan = make_plan(config, _dataset(json.dumps(to_dict(config.data))))
        if not workdirs.has_checkpoints(directory):
            _ = plan.start  # Weights that do not fit are refused before anything is written.
        run(plan, directory, command)
    except Exception as error:
        traceback.print_exc()
        workdirs.write_failure(directory, f"{type(error).__name__}: {error}")
    jax.clear_caches()
    sys.stdout.flush()


@functools.lru_cache(maxsize=1)
def _dataset(config: str) -> Dataset:
    return open_dataset(from_dict(DataConfig, json.loads(config)))
