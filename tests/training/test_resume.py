"""A run that is killed at any moment ends as if it had never been."""

import json
import re
import signal

import compilation
import jax
import pytest

from benchmarks.faults.runs import Run, checkpoints, difference
from senet_jax.checkpoints import verify

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


@pytest.fixture
def start(tmp_path):
    """Starts a process that trains a short network in a workdir; compiled programs are shared."""
    experiment = tmp_path / "experiment.py"
    experiment.write_text(EXPERIMENT.replace("DATA", str(tmp_path / "data")))
    settings = compilation.environment() | {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    return lambda workdir: Run(workdir, [f"--config={experiment}"], ("tests/training/process.py",), **settings)


def finish(run):
    run.end()
    assert run.status == 0, run.output
    return run.output


def end_after(run, step, signum):
    """Sends the signal as soon as the run has logged that step; returns what it printed."""
    assert run.wait_for_step(step), run.output
    run.end(signum)
    assert run.status == (-signum if signum == signal.SIGKILL else 128 + signum)
    return run.output


@pytest.mark.slow
def test_a_killed_run_ends_bit_equal(start, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(start(whole))
    end_after(start(killed), 14, signal.SIGKILL)
    output = end_after(start(killed), 28, signal.SIGTERM)
    (stopped,) = map(int, re.findall(r"stopped by SIGTERM after step (\d+); python .* goes on", output))
    assert stopped >= 28
    output = finish(start(killed))
    assert f"goes on after step {stopped} of 60" in output

    assert checkpoints(whole)[-1] == 60
    leaves = jax.tree.leaves(verify(killed / "checkpoints" / "60"))
    assert len(leaves) > 50
    assert all(leaf.dtype == jax.numpy.float32 for leaf in leaves if leaf.ndim)
    assert difference(whole, killed) == ""
    results = [json.loads((workdir / "result.json").read_text()) for workdir in (whole, killed)]
    assert results[0]["accuracy"] == results[1]["accuracy"]
    assert {path.name for path in killed.iterdir()} >= {"config.json", "metrics.jsonl", "curves.png", "result.json"}
    assert list(killed.glob("events.out.tfevents.*"))
