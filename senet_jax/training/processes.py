"""Several processes that train one run together: how they connect, and the texts that they exchange.

With one process nothing here does anything.
"""

import contextlib
import glob
import importlib.util
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager

import jax
import numpy as np
from jax.experimental import multihost_utils

from senet_jax.weights.manifests import UnusableError
from senet_jax.workdir import RunError

_LONGEST = 16_384
"""Largest size, in bytes, of a text that a process sends to the others."""


def join(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    start_seconds: float = 300,
    heartbeat_seconds: float = 100,
) -> None:
    """Connects this process with the others of its run, if there are any; before jax is first used.

    Processes of SLURM and Open MPI and the workers of a TPU pod are found without being told. All must start in
    `start_seconds`; after `heartbeat_seconds` without a heartbeat a process counts as dead, and the others end. Raises
    ValueError if they do not all start in time.
    """
    if coordinator is None and not _in_cluster():
        return
    known = f"--coordinator={coordinator}" if coordinator else "the cluster's coordinator"
    if process_id is not None:
        print(f"process {process_id} waits for all {num_processes} to start", flush=True)
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            cluster_detection_method="deactivate" if coordinator else None,
            initialization_timeout=max(1, round(start_seconds)),
            heartbeat_timeout_seconds=max(1, round(heartbeat_seconds)),
            shutdown_timeout_seconds=max(1, round(heartbeat_seconds)),
        )
    except (RuntimeError, ValueError) as error:  # jax raises RuntimeError if a process is missing.
        if coordinator is None and "coordinator_address should be defined" in str(error):
            if not _several_started():
                return  # A TPU that is no part of a pod.
            raise ValueError(
                "several processes were started, and jax does not know how they find each other, as of Open MPI 5; "
                "give each --coordinator=HOST:PORT, --num_processes and --process_id"
            ) from error
        said = str(error).partition("\n")[0]
        raise ValueError(
            f"the processes did not come together over {known} within {start_seconds:g} s: {said}"
        ) from error
    told("connected")  # The first exchange must begin within a minute in all; later ones have half an hour.


def _in_cluster() -> bool:
    """Whether something has started several processes, or this is the host of a TPU."""
    chips = glob.glob("/dev/accel*") + glob.glob("/dev/vfio/*")
    return _several_started() or (bool(chips) and importlib.util.find_spec("libtpu") is not None)


def _several_started() -> bool:
    """Whether Slurm or Open MPI has started several processes."""
    several = any(int(os.environ.get(name) or 1) > 1 for name in ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE"))
    return several and ("SLURM_STEP_NODELIST" in os.environ or "OMPI_COMM_WORLD_RANK" in os.environ)


def joined() -> bool:
    """Whether this process has joined a run of processes, of which it can be the only one."""
    return jax.distributed.is_initialized()


def several() -> bool:
    """Whether several processes train together. A single process does not initialise the devices here."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_first() -> bool:
    """Whether this is the process that logs and writes."""
    return not several() or jax.process_index() == 0


def told(text: str) -> str:
    """Returns the text of the first process in all processes, which wait here for each other; at most 16,384 bytes."""
    return _all_told(text)[0]


def worst(fault: str) -> str:
    """Returns this process's fault, else that of another with its number; all wait here for each other.

    Returns "" if none has one.
    """
    others = (f"process {number}: {said}" for number, said in enumerate(_all_told(fault)) if said)
    return fault or next(others, "")


def _all_told(text: str) -> list[str]:
    """Returns the texts of all processes, in all."""
    if not several():
        return [text]
    content = np.zeros(_LONGEST, np.uint8)
    encoded = np.frombuffer(text.encode(errors="replace")[:_LONGEST], np.uint8)
    content[: len(encoded)] = encoded
    received = np.asarray(multihost_utils.process_allgather(content)).reshape(-1, _LONGEST)
    return [each.tobytes().rstrip(b"\0").decode(errors="ignore") for each in received]


@contextlib.contextmanager
def agreed() -> Iterator[None]:
    """Raises in all processes if the body raises in one: its error there, and UnusableError elsewhere.

    A process that ended alone would leave the others waiting for it. In the body no process waits for others.
    """
    try:
        yield
    except Exception as error:
        try:
            worst(str(error) or type(error).__name__)
        finally:
            raise error
    if said := worst(""):
        raise UnusableError(said)


@contextlib.contextmanager
def held_by_first(context: AbstractContextManager[None]) -> Iterator[None]:
    """Enters the context in the first process; if that raises, all do."""
    with contextlib.ExitStack() as stack:
        with agreed():
            if is_first():
                stack.enter_context(context)
        yield


class Place:
    """Place of this process in the run, printed on standard error if it stays there for long."""

    def __init__(self, seconds: float):
        """Prints the place after that many seconds, then after twice as many, and so on; nothing with one process."""
        self._seconds = seconds
        self._said, self._since, self._ended = "the start", time.monotonic(), threading.Event()
        if several():
            threading.Thread(target=self._watch, daemon=True).start()

    def __call__(self, place: str) -> None:
        """Sets the place, such as "step 12 of 60"."""
        self._said, self._since = place, time.monotonic()

    def close(self) -> None:
        """Stops printing."""
        self._ended.set()

    def _watch(self) -> None:
        since, limit = self._since, self._seconds
        while not self._ended.wait(min(1.0, self._seconds / 4)):
            if since != self._since:
                since, limit = self._since, self._seconds
            elif (stayed := time.monotonic() - since) > limit:
                limit *= 2
                print(
                    f"process {jax.process_index()} of {jax.process_count()} has been in {self._said} for "
                    f"{stayed:.0f} s; it may wait for another one",
                    file=sys.stderr,
                    flush=True,
                )


_GONE = ("gloo", "connection", "unavailable", "deadline", "heartbeat", "socket closed", "aborted", "cancelled")
"""Words in jax's errors when another process ends."""


@contextlib.contextmanager
def none_outlives() -> Iterator[None]:
    """Ends this process, if it is one of several, with status 1 at an error that the others may not have.

    An orderly exit would deadlock: it waits for the others at a barrier or a checkpoint, and they wait for this one.
    """
    try:
        yield
    except (FloatingPointError, UnusableError):  # All processes have the same loss and the same checkpoints.
        raise
    except Exception as error:
        if not several():
            raise
        said, who = " ".join(str(error).split()), f"process {jax.process_index()} of {jax.process_count()} ends"
        if _is_of_another(error):
            who += ", because another one no longer answers; its own output says why"
        else:
            traceback.print_exception(error)
        again = "the same command on all hosts goes on from the newest checkpoint"
        print(f"{who}: {type(error).__name__}: {said[:300]}; {again}", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


def _is_of_another(error: BaseException) -> bool:
    """Tells whether an error comes from the end of another process, by the first of its causes."""
    while error.__cause__ is not None:
        error = error.__cause__
    own = isinstance(error, RunError | OSError)  # A path in their messages can have any word.
    return not own and any(word in str(error).lower() for word in _GONE)
