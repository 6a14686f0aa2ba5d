"""One of two processes, which test what only one of them finds: all end or go on together.

python pair.py ADDRESS NUMBER DIRECTORY DATA_DIR
"""

import errno
import os
import re
import signal
import sys
import time
from contextlib import closing, nullcontext
from pathlib import Path
from unittest import mock

import orbax.checkpoint as ocp
from process import small

from senet_jax.config import DataConfig, Experiment, ModelConfig, OptimizerConfig
from senet_jax.runs.run import run
from senet_jax.training import parallel, plan, processes
from senet_jax.training.checkpoints import Checkpoints
from senet_jax.training.loop import initial_state
from senet_jax.training.stopping import stop_on_signals
from senet_jax.weights import manifests

ADDRESS, NUMBER, DIRECTORY, DATA = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]


def refusal(call, *arguments):
    """Returns the message with which both processes refuse, as this one and as process 0 has it."""
    try:
        call(*arguments)
    except (ValueError, OSError) as error:
        return str(error)
    raise AssertionError("nothing was refused")


def opened(learning_rate):
    config = Experiment(
        ModelConfig("se_resnet20_cifar", ratio=2),
        DataConfig("digits", data_dir=DATA, mean=(0.3,), std=(0.4,)),
        OptimizerConfig(learning_rate=learning_rate),
        duration="1 steps",
        batch_size=16,
    )
    return plan.open_plan(config)


@processes.agreed()
def lacks_data():
    if NUMBER == 1:
        raise FileNotFoundError("no images here")


def test_one_that_lacks_something_is_named_by_all():
    assert refusal(lacks_data) == ("no images here" if NUMBER == 1 else "process 1: no images here")


def test_other_configurations_are_refused_before_the_first_step(trained):
    said = refusal(run, trained if NUMBER == 0 else opened(0.3), DIRECTORY)
    assert "optimizer.learning_rate is 0.3, was 0.1" in said


def test_a_checkpoint_that_one_cannot_read_is_refused_by_all(trained):
    mesh = parallel.data_mesh()

    def restored():
        with closing(Checkpoints(DIRECTORY)) as checkpoints:
            return initial_state(trained, checkpoints, mesh)

    state, step = restored()
    assert step == 0
    with closing(Checkpoints(DIRECTORY)) as checkpoints:
        checkpoints.save(4, state, trained.config)

    def faulty(kind, name, error):
        return mock.patch.object(kind, name, side_effect=error) if NUMBER == 1 else nullcontext()

    stale = manifests.DamagedError("stale")
    stale.__cause__ = OSError(errno.ESTALE, "Stale file handle")
    with faulty(manifests, "read", stale):
        assert re.search("the checkpoint of step 4 in .* could not be read", refusal(restored))
    with faulty(ocp.CheckpointManager, "restore", RuntimeError("flipped")):
        assert "has no undamaged checkpoint" in refusal(restored)
    again, step = restored()
    assert step == 4
    assert manifests.digests(again) == manifests.digests(state)


def test_all_stop_after_the_same_step_and_outlast_further_signals():
    with stop_on_signals(together=True) as stop:
        step = 0
        while not stop.after(step := step + 1):
            time.sleep(0.01)
            if (NUMBER, step) == (1, 5):
                os.kill(os.getpid(), signal.SIGTERM)
        assert processes.told(str(step)) == str(step)
        if NUMBER == 0:
            os.kill(os.getpid(), signal.SIGTERM)
    assert processes.worst("") == ""


if __name__ == "__main__":
    processes.join(ADDRESS, 2, NUMBER, heartbeat_seconds=10)
    plan.build_model = small
    DIRECTORY.mkdir(exist_ok=True)
    with processes.none_outlives():
        trained = opened(0.1)
        test_one_that_lacks_something_is_named_by_all()
        test_other_configurations_are_refused_before_the_first_step(trained)
        test_a_checkpoint_that_one_cannot_read_is_refused_by_all(trained)
        test_all_stop_after_the_same_step_and_outlast_further_signals()
