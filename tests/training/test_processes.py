"""Several processes train as one, and none outlives another."""

import errno
import re
import signal
import sys

import compilation
import jax
import pytest

from benchmarks.faults.runs import SMALL, Run, checkpoints, difference, free_address
from senet_jax import workdir as workdirs
from senet_jax.checkpoints import verify
from senet_jax.commands.command_line import main
from senet_jax.training import processes
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


def begin(workdir, number, program, *flags):
    """Starts one of `number` processes, with two devices in all."""
    settings = {
        "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(2 // number), "JAX_ENABLE_X64": "true",
        "GLIBC_TUNABLES": "", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }  # fmt: skip
    return Run(workdir, flags, program, **compilation.environment() | settings)


def start(workdir, number):
    """Starts a run in a workdir, of one process with two devices or of two processes with one each."""
    flags = [*FLAGS, f"--config.data.data_dir={workdir.parent / 'data'}"]
    if number == 1:
        return [begin(workdir, 1, SMALL, *flags)]
    flags += [f"--coordinator={free_address()}", f"--num_processes={number}", f"--heartbeat_timeout={HEARTBEAT}"]
    return [begin(workdir, number, SMALL, *flags, f"--process_id={process}") for process in range(number)]


def finish(run):
    for process in run:
        process.end()
    assert [process.status for process in run] == [0] * len(run), [process.output for process in run]
    return [process.output for process in run]


def check_left(survivor):
    """Checks that a process ends soon, because its neighbour is gone."""
    assert survivor.end() < HEARTBEAT + 10  # The machine may be busy.
    assert survivor.status != 0
    assert GONE.search(survivor.output), survivor.output


@pytest.mark.slow
def test_two_processes_are_one_and_go_on_bit_equal_after_a_kill(tmp_path):
    """One process with two devices computes the same bits, so that no run of two without harm is needed."""
    one, harmed = tmp_path / "one", tmp_path / "harmed"
    finish(start(one, 1))

    coordinator, survivor = start(harmed, 2)
    assert survivor.wait_until(lambda: checkpoints(harmed)), survivor.output
    coordinator.end(signal.SIGKILL)
    check_left(survivor)

    first_said, second_said = finish(start(harmed, 2))
    assert re.search(r"goes on after step (4|8|12|16)", first_said)
    assert f"step {STEPS}/{STEPS}" in first_said
    assert "loss" not in second_said
    assert checkpoints(one)[-1] == STEPS
    assert len(jax.tree.leaves(verify(harmed / "checkpoints" / str(STEPS)))) > 30
    assert difference(one, harmed) == ""


@pytest.mark.slow
def test_all_end_or_go_on_together_if_only_one_finds_a_fault_has_a_signal_or_stands_still(tmp_path):
    words = [free_address(), str(HEARTBEAT), str(tmp_path / "run"), str(tmp_path / "data")]
    first, second = (begin(tmp_path, 2, ["tests/training/pair.py", str(number), *words]) for number in (0, 1))
    assert first.wait_for("waits for process 1"), [first.output, second.output]
    check_left(first)
    second.end(signal.SIGKILL)


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
