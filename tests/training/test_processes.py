"""Several processes train as one, and none outlives another."""

import errno
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import compilation
import jax
import numpy as np
import pytest

from benchmarks.faults.runs import free_address, records
from senet_jax import workdir as workdirs
from senet_jax.checkpoints import verify
from senet_jax.commands.command_line import main
from senet_jax.training import logs, processes
from senet_jax.training.checkpoints import SaveError
from senet_jax.workdir import RunError

STEPS = 20
FLAGS = [
    "--config.model.name=se_resnet20_cifar", "--config.model.ratio=2", "--config.model.statistics_group=8",
    "--config.batch_size=16", "--config.eval_batch_size=180", "--config.data.crop_padding=1",
    f"--config.duration={STEPS} steps", "--config.log_every=2 steps", "--config.checkpoint_every=4 steps",
    "--config.eval_every=10 steps", "--config.optimizer.warmup=5 steps",
]  # fmt: skip
HEARTBEAT = 5
GONE = re.compile(
    "process [01] of 2 ends, because another one no longer answers|another task died; see the other task logs"
)
"""What a process says whose neighbour is gone: the loop, or jax.distributed after the heartbeat."""


@pytest.fixture
def begin():
    """Starts processes that run files of this folder, with two devices in all."""
    started = []

    def begin(*commands):
        settings = {
            "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(2 // len(commands)), "JAX_ENABLE_X64": "true",
            "PYTHONPATH": str(Path(__file__).parents[2]), "GLIBC_TUNABLES": "",
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }  # fmt: skip
        begun = [
            subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name(file)), *map(str, words)],
                env=os.environ | compilation.environment() | settings,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for file, *words in commands
        ]
        started.extend(begun)
        return begun

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def start(begin, tmp_path):
    """Starts a run in a workdir, of one process with two devices or of two processes with one each."""

    def start(workdir, number):
        several = [f"--coordinator={free_address()}", f"--num_processes={number}", f"--heartbeat_timeout={HEARTBEAT}"]
        command = ["process.py", "train", f"--workdir={workdir}", *FLAGS, f"--config.data.data_dir={tmp_path / 'data'}"]
        each = [[*several, f"--process_id={process}"] if number > 1 else [] for process in range(number)]
        return begin(*([*command, *words] for words in each))

    return start


def finish(run):
    outputs = [process.communicate(timeout=300)[0] for process in run]
    assert [process.returncode for process in run] == [0] * len(run), outputs
    return outputs


def wait_for(step, workdir, run):
    while max((record["step"] for record in logs.read(workdir)), default=0) < step:
        assert all(process.poll() is None for process in run), [process.communicate()[0] for process in run]
        time.sleep(0.1)


def final_state(workdir):
    return verify(workdir / "checkpoints" / str(STEPS))


@pytest.mark.slow
def test_two_processes_are_one_and_go_on_bit_equal_after_a_kill(start, tmp_path):
    """One process with two devices computes the same bits, so that no run of two without harm is needed."""
    one, harmed = tmp_path / "one", tmp_path / "harmed"
    finish(start(one, 1))

    run = start(harmed, 2)
    wait_for(6, harmed, run)
    run[0].kill()  # The coordinator.
    survivor, _ = run[1].communicate(timeout=HEARTBEAT + 20)
    assert run[1].returncode != 0
    assert GONE.search(survivor), survivor

    first_said, second_said = finish(start(harmed, 2))
    assert re.search(r"goes on after step (4|8|12|16)", first_said)
    assert f"step {STEPS}/{STEPS}" in first_said
    assert "loss" not in second_said
    alone, together = final_state(one), final_state(harmed)
    assert len(jax.tree.leaves(together)) > 30
    jax.tree.map(np.testing.assert_array_equal, together, alone)
    assert records(harmed) == records(one)


@pytest.mark.slow
def test_all_end_or_go_on_together_if_only_one_finds_a_fault_has_a_signal_or_stands_still(begin, tmp_path):
    words = [free_address(), HEARTBEAT, tmp_path / "run", tmp_path / "data"]
    first, second = begin(*(["pair.py", number, *words] for number in (0, 1)))
    said = []
    while not said or said[-1] != "waits for process 1\n":
        said.append(first.stdout.readline())
        assert said[-1], [*said, second.communicate()[0]]
    since = time.monotonic()
    survivor, _ = first.communicate(timeout=HEARTBEAT + 20)
    assert time.monotonic() - since < HEARTBEAT + 10  # The machine may be busy.
    assert first.returncode != 0
    assert GONE.search(survivor), survivor


def test_a_run_that_goes_on_is_not_joined(tmp_path):
    command = ["train", f"--workdir={tmp_path}", "--coordinator=localhost:1", "--num_processes=2", "--process_id=1"]
    with workdirs.locked(tmp_path), pytest.raises(SystemExit, match=f"another process is training in {tmp_path}; wait"):
        main(command)


@pytest.mark.parametrize(
    ("error", "another"),
    [
        (OSError(errno.ETIMEDOUT, "Connection timed out", "/nfs/data"), False),
        (RunError("no space left in /runs/connection"), False),
        (ValueError("UNKNOWN: Gloo all-reduce failed: Connection closed by peer"), True),
    ],
)
def test_an_own_fault_is_not_said_to_be_of_another_process(error, another, monkeypatch, capsys):
    monkeypatch.setattr(processes, "several", lambda: True)
    monkeypatch.setattr(processes.os, "_exit", sys.exit)
    with pytest.raises(SystemExit), processes.none_outlives():
        raise SaveError("a checkpoint could not be saved") from error
    assert ("another one no longer answers" in capsys.readouterr().err) == another


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--coordinator=a:1"], "--coordinator is given without --num_processes and --process_id"),
        (
            ["--coordinator=a:1", "--num_processes=2", "--process_id=2"],
            "--process_id is 2; of 2 processes it is 0 to 1",
        ),
        (["--coordinator=a", "--num_processes=2", "--process_id=0"], "--coordinator is 'a'; it must be HOST:PORT"),
        (["--coordinator=a:1", "--num_processes=2", "--process_id=0"], "several processes need --workdir=DIRECTORY"),
        (["--heartbeat_timeout=9"], "--heartbeat_timeout is of several processes, and this is the only one"),
    ],
)
def test_invalid_flags_are_refused(flags, message, capsys):
    with pytest.raises(SystemExit):
        main(["train", *flags])
    assert message in capsys.readouterr().err


def test_a_single_process_is_the_first_and_does_not_wait(tmp_path):
    processes.join()
    assert not jax.distributed.is_initialized()
    assert not processes.several()
    assert processes.is_first()
    assert processes.told("said") == processes.worst("said") == "said"
    with pytest.raises(RuntimeError, match="goes on"), processes.none_outlives():
        raise RuntimeError("goes on")


def test_processes_that_jax_cannot_join_are_told_the_flags(monkeypatch):
    def refuse(*_, **__):
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", refuse)
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "0")
    with pytest.raises(
        ValueError, match="as of Open MPI 5; give each --coordinator=HOST:PORT, --num_processes and --pro"
    ):
        processes.join()
