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
from dataclasses import dataclass

import jax
import numpy as np
from jax.experimental import multihost_utils

from senet_jax.weights.manifests import UnusableError

_LONGEST = 2000
"""Largest size, in bytes, of a text that the first process sends to the others."""


@dataclass(frozen=True)
class Together:
    """Settings by which the processes of a run find each other; None: those of the cluster."""

    coordinator: str | None = None
    """Host and port of process 0."""
    num_processes: int | None = None
    process_id: int | None = None
    start_seconds: float = 300
    """Seconds in which all processes must start."""
    heartbeat_seconds: float = 100
    """Seconds without a heartbeat, after which a process counts as dead and the others end."""


def join(together: Together) -> None:
    """Connects this process with the others of its run, if there are any; before jax is first used.

    Processes of SLURM and Open MPI and the workers of a TPU pod are found without being told. Raises ValueError if they
    do not all start in time.
    """
    if together.coordinator is None and not _in_cluster():
        return
    known = f"--coordinator={together.coordinator}" if together.coordinator else "the cluster's coordinator"
    if together.process_id is not None:
        print(f"process {together.process_id} waits for all {together.num_processes} to start", flush=True)
    try:
        jax.distributed.initialize(
            together.coordinator,
            together.num_processes,
            together.process_id,
            cluster_detection_method="deactivate" if together.coordinator else None,
            initialization_timeout=max(1, round(together.start_seconds)),
            heartbeat_timeout_seconds=max(1, round(together.heartbeat_seconds)),
            shutdown_timeout_seconds=max(1, round(together.heartbeat_seconds)),
        )
    except (RuntimeError, ValueError) as error:  # jax raises RuntimeError if a process is missing.
        if together.coordinator is None and "coordinator_address should be defined" in str(error):
            return  # A TPU that is no part of a pod.
        said = str(error).partition("\n")[0]
        raise ValueError(
            f"the processes did not come together over {known} within {together.start_seconds:g} s: {said}"
        ) from error


def _in_cluster() -> bool:
    """Whether something has started several processes, or this is the host of a TPU."""
    several = any(int(os.environ.get(name) or 1) > 1 for name in ("SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE"))
    inside = "SLURM_STEP_NODELIST" in os.environ or "OMPI_COMM_WORLD_RANK" in os.environ
    chips = glob.glob("/dev/accel*") + glob.glob("/dev/vfio/*")
    return (several and inside) or (bool(chips) and importlib.util.find_spec("libtpu") is not None)


def joined() -> bool:
    """Whether this process has joined a run of processes, of which it can be the only one."""
    return jax.distributed.is_initialized()


def several() -> bool:
    """Whether several processes train together. A single process does not initialise the devices here."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_first() -> bool:
    """Whether this is the process that logs and writes."""
    return not several() or jax.process_index() == 0


def told(text: str = "") -> str:
    """Returns the text of the first process in all processes, which wait here for each other; at most 2,000 bytes."""
    if not several():
        return text
    content = np.zeros(_LONGEST, np.uint8)
    encoded = np.frombuffer(text.encode()[:_LONGEST], np.uint8)
    content[: len(encoded)] = encoded
    received = np.asarray(multihost_utils.broadcast_one_to_all(content))
    return received.tobytes().rstrip(b"\0").decode(errors="ignore")


def worst(fault: str = "") -> str:
    """Returns a fault of any process in all processes, which wait here for each other; "" if none has one."""
    if not several():
        return fault
    faulty = np.asarray(multihost_utils.process_allgather(np.array(bool(fault)))).reshape(-1)
    if not faulty.any():
        return ""
    return fault or f"process {int(faulty.argmax())} found it"


@contextlib.contextmanager
def held_by_first(context: AbstractContextManager[None], refusal: type[Exception]) -> Iterator[None]:
    """Enters the context in the first process; if that raises the refusal, all raise it."""
    with contextlib.ExitStack() as stack:
        said = ""
        if is_first():
            try:
                stack.enter_context(context)
            except refusal as error:
                said = str(error)
        if said := told(said):
            raise refusal(said)
        yield


class Place:
    """Place of this process in the run, printed on standard error if it stays there for long."""

    def __init__(self, seconds: float):
        """Prints the place after that many seconds, then after twice as many, and so on; nothing with one process."""
        self._seconds = seconds
        self._said, self._since, self._ended = "", time.monotonic(), threading.Event()
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


_GONE = ("gloo", "connection", "unavailable", "deadline", "heartbeat", "socket closed", "aborted", "cancelled", "peer")
"""Words in the errors that this process gets when another one ends."""


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
        if any(word in said.lower() for word in _GONE):
            who += ", because another one no longer answers; its own output says why"
        else:
            traceback.print_exception(error)
        again = "the same command on all hosts goes on from the newest checkpoint"
        print(f"{who}: {type(error).__name__}: {said[:300]}; {again}", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)
