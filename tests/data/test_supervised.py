"""Workers that die and workers that stand still, as real processes."""

import dataclasses
import itertools
import multiprocessing
import os
import re
import signal
import time

import pytest

from senet_jax import data
from senet_jax.data import supervised
from senet_jax.data.supervised import WorkerError


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signum", "fate"), [(signal.SIGKILL, "was ended by SIGKILL; if"), (signal.SIGSTOP, "is stopped by a signal, and")]
)
def test_a_worker_that_dies_or_stands_still_is_named_within_ten_seconds(
    digits, digits_config, signum, fate, monkeypatch
):
    assert supervised._STOPPED < 5
    monkeypatch.setattr(supervised, "_STOPPED", 0.5)
    config = dataclasses.replace(digits_config, memory_limit_gib=0.0, workers=2)
    others = set(multiprocessing.active_children())
    batches = data.train_batches(digits.train, config, batch_size=4, seed=0)
    next(batches)
    workers = sorted(worker.pid for worker in set(multiprocessing.active_children()) - others)
    assert len(workers) == 2
    os.kill(workers[1], signum)
    began = time.monotonic()
    with pytest.raises(WorkerError, match=rf"^data worker 2 of 2, process {workers[1]}, {re.escape(fate)}"):
        list(itertools.islice(batches, 1000))
    assert time.monotonic() - began < 10
    assert not set(multiprocessing.active_children()) - others
