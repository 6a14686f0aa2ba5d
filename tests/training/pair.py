"""One of two processes, which test what only one of them finds: all end or go on together.

python pair.py NUMBER ADDRESS HEARTBEAT_SECONDS DIRECTORY DATA_DIR
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
import process  # noqa: F401  # Makes networks small.

from senet_jax import workdir as workdirs
from senet_jax.commands import train
from senet_jax.commands.command_line import parse
from senet_jax.config import DataConfig, Experiment, ModelConfig, OptimizerConfig
from senet_jax.runs.run import run
from senet_jax.training import parallel, plan, processes
from senet_jax.training.checkpoints import Checkpoints
from senet_jax.training.loop import initial_state
from senet_jax.training.stopping import stop_on_signals
from senet_jax.weights import manifests, runs

NUMBER, ADDRESS, HEARTBEAT, DIRECTORY, DATA = (
    int(sys.argv[1]),
    sys.argv[2],
    int(sys.argv[3]),
    Path(sys.argv[4]),
    sys.argv[5],
)


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


def test_the_fault_of_the_first_alone_is_that_of_all():
    full = mock.patch.object(Path, "open", side_effect=OSError(errno.ENOSPC, "No space left on device"))
    with full if NUMBER == 0 else nullcontext():
        assert "No space left" in refusal(processes.held_by_first(workdirs.locked(DIRECTORY)).__enter__)


def test_what_one_lacks_is_refused_before_the_first_step(trained):
    """One cannot write. The other reads weights meanwhile, and must not wait for the first in it."""
    if NUMBER == 0:
        (DIRECTORY / "network.json").write_text(runs.describe(trained.config, trained.dataset.class_names, 1))
    processes.told("")
    words = ["train", f"--workdir={'/proc' if NUMBER == 0 else DIRECTORY}/new", f"--config.init.weights={DIRECTORY}"]
    request = parse([*words, f"--config.data.data_dir={DATA}", "--config.model.ratio=2"])
    with mock.patch.object(processes, "join"):
        said = refusal(train.prepare, request)
    assert "--workdir=/proc/new cannot be written" in said, said


def test_other_configurations_are_refused_before_the_first_step(trained):
    said = refusal(run, trained if NUMBER == 0 else opened(0.3), DIRECTORY)
    assert "config.optimizer.learning_rate is 0.3, and 0.1 in process 0" in said
    assert not (DIRECTORY / "config.json").exists()
    with mock.patch("senet_jax.runs.run.commit", return_value=f"commit{NUMBER}"):
        said = refusal(run, trained, DIRECTORY)
    assert "commit is commit1, and commit0 in process 0; give all the same code" in said


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

    with closing(Checkpoints(DIRECTORY)) as checkpoints:
        checkpoints.save(8, state, trained.config)
    read = manifests.read
    flipped = lambda directory: read(directory) if directory.name == "4" else read(directory / "missing")  # noqa: E731
    with mock.patch.object(manifests, "read", flipped) if NUMBER == 1 else nullcontext():
        assert restored()[1] == 4
    assert [path.name for path in (DIRECTORY / "damaged_checkpoints").iterdir()] == ["0_step8"]


def test_all_stop_after_the_same_step_and_outlast_further_signals():
    with stop_on_signals(together=True) as stop:
        if NUMBER == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(2.5)  # Each process looks for the signal of another once a second.
        step = 8  # Of a resumed run.
        while not stop.after(step := step + 1):
            time.sleep(0.1)
        assert processes.told(str(step)) == str(step) == "9"
        if NUMBER == 0:
            os.kill(os.getpid(), signal.SIGTERM)
    assert processes.worst("") == ""


def test_one_that_stands_still_ends_the_other():
    if NUMBER == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    print("waits for process 1", flush=True)
    processes.worst("")
    raise AssertionError("process 1 answered")


if __name__ == "__main__":
    processes.join(ADDRESS, 2, NUMBER, heartbeat_seconds=HEARTBEAT)
    DIRECTORY.mkdir(exist_ok=True)
    with processes.none_outlives():
        trained = opened(0.1)
        test_one_that_lacks_something_is_named_by_all()
        test_the_fault_of_the_first_alone_is_that_of_all()
        test_other_configurations_are_refused_before_the_first_step(trained)
        test_a_checkpoint_that_one_cannot_read_is_refused_by_all(trained)
        test_what_one_lacks_is_refused_before_the_first_step(trained)
        test_all_stop_after_the_same_step_and_outlast_further_signals()
        test_one_that_stands_still_ends_the_other()
