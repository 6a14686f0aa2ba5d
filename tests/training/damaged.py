"""Damages each file of a checkpoint in turn, and prints the results of the restores as JSON.

    python damaged.py WORKDIR COPIES

A process of its own, because a read that fails leaves others under way, whose errors no test can catch.
"""

import io
import json
import re
import shutil
import sys
from contextlib import closing, redirect_stderr
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.faults.checkpoints import DAMAGES, files_of
from senet_jax.config import Experiment, ModelConfig
from senet_jax.training.checkpoints import Checkpoints
from senet_jax.training.state import TrainState

CONFIG = Experiment(ModelConfig("se_resnet18"))


def state(step, width=4):
    arrays = {"params": {"kernel": jnp.arange(96.0).reshape(24, 4)[:, :width] + step}, "batch_stats": {}}
    return TrainState(jnp.int32(step), arrays, (jnp.zeros(3, jnp.bfloat16),), None, {"loss": jnp.float32(step)}, {})


def restore(workdir, config=CONFIG, like=None):
    """Returns the restored step, whose arrays must be right, and the message."""
    said = io.StringIO()
    with closing(Checkpoints(workdir)) as checkpoints, redirect_stderr(said):
        given, step = checkpoints.restore(state(0) if like is None else like, config)
    jax.tree.map(np.testing.assert_array_equal, given, state(step))
    return step, re.findall("^the checkpoint of .*", said.getvalue(), re.M)  # Reads under way print errors too.


def tries(workdir, copies, damage):
    random = np.random.default_rng(0)
    for number, file in enumerate(files_of(workdir, 30)):
        copy = shutil.copytree(workdir, copies / f"{damage} {number}")
        DAMAGES[damage](copy / file, random)
        step, said = restore(copy)
        aside = [path.name for path in copy.glob("damaged_checkpoints/*")]
        again = restore(copy)[0] if aside else step  # Else nothing on the disk has changed.
        yield {"copy": str(copy), "step": step, "said": said, "aside": aside, "again": again}


if __name__ == "__main__":
    print(json.dumps({damage: list(tries(Path(sys.argv[1]), Path(sys.argv[2]), damage)) for damage in DAMAGES}))
