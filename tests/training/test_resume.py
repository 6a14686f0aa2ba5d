"""A run that is killed at any moment ends as if it had never been."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import compilation
import jax
import numpy as np
import pytest

from benchmarks.faults.runs import records
from senet_jax.checkpoints import verify
from senet_jax.training import logs

EXPERIMENT = """
from senet_jax.config import DataConfig, Experiment, ModelConfig, OptimizerConfig

def get_config():
    return Experiment(
        model=ModelConfig("se_resnet20_cifar", ratio=4),
        data=DataConfig(image_size=8, crop_padding=1, data_dir="DATA"),
        optimizer=OptimizerConfig(ema_decay=0.9, warmup="5 steps", clip_norm=1.0, label_smoothing=0.1),
        duration="60 steps", batch_size=32, log_every="7 steps", eval_every="30 steps", checkpoint_every="10 steps",
    )
"""


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts a process that trains a short network in a workdir; compiled programs are shared."""
    directory = tmp_path_factory.mktemp("resume")
    experiment = directory / "experiment.py"
    experiment.write_text(EXPERIMENT.replace("DATA", str(directory / "data")))
    settings = {
        "JAX_COMPILATION_CACHE_DIR": str(directory / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }

    def start(workdir):
        program = str(Path(__file__).with_name("process.py"))
        command = [sys.executable, program, f"--config={experiment}", f"--workdir={workdir}"]
        return subprocess.Popen(
            command,
            env=os.environ | compilation.environment() | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def finish(process):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def kill_after(process, workdir, step, signum=signal.SIGKILL):
    """Sends the signal as soon as the run has logged that step; returns what it printed."""
    while max((record["step"] for record in logs.read(workdir)), default=0) < step:
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.1)
    process.send_signal(signum)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == (-signum if signum == signal.SIGKILL else 128 + signum)
    return output


def final_state(workdir):
    newest = max((workdir / "checkpoints").iterdir(), key=lambda path: int(path.name))
    assert newest.name == "60"
    return verify(newest)


@pytest.mark.slow
def test_a_killed_run_ends_bit_equal(start, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(start(whole))
    kill_after(start(killed), killed, 14)
    output = kill_after(start(killed), killed, 28, signal.SIGTERM)
    (stopped,) = map(int, re.findall(r"stopped by SIGTERM after step (\d+); python .* goes on", output))
    assert stopped >= 28
    output = finish(start(killed))
    assert f"goes on after step {stopped} of 60" in output

    expected, actual = final_state(whole), final_state(killed)
    leaves = jax.tree.leaves(expected)
    assert len(leaves) > 50
    assert all(leaf.dtype == jax.numpy.float32 for leaf in leaves if leaf.ndim)
    jax.tree.map(np.testing.assert_array_equal, actual, expected)
    assert records(killed) == records(whole)

    results = [json.loads((workdir / "result.json").read_text()) for workdir in (whole, killed)]
    assert results[0]["accuracy"] == results[1]["accuracy"]
    assert {path.name for path in killed.iterdir()} >= {"config.json", "metrics.jsonl", "curves.png", "result.json"}
    assert list(killed.glob("events.out.tfevents.*"))
