"""Damages each file of a checkpoint in turn, and prints as JSON what came of the restores.

    python damaged.py WORKDIR COPIES DAMAGE

A process of its own, because a read that fails leaves others under way, whose errors no test can catch.
"""

import json
import shutil
import sys
from contextlib import closing
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from senet_jax.config import Experiment, ModelConfig
from senet_jax.training.checkpoints import Checkpoints
from senet_jax.training.state import TrainState

CONFIG = Experiment(ModelConfig("se_resnet18"))
DAMAGES = {
    "flipped": lambda path, random: flip(path, int(random.integers(8 * path.stat().st_size))),
    "truncated": lambda path, random: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path, random: path.write_bytes(b""),
    "deleted": lambda path, random: path.unlink(),
}


def state(step, width=4):
    arrays = {"params": {"kernel": jnp.arange(96.0).reshape(24, 4)[:, :width] + step}, "batch_stats": {}}
    return TrainState(jnp.int32(step), arrays, (jnp.zeros(3, jnp.bfloat16),), None, {"loss": jnp.float32(step)})


def flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8 % len(content)] ^= 1 << bit % 8
    path.write_bytes(bytes(content))


def restore(workdir, config=CONFIG, like=None, **settings):
    """The step that is restored, whose arrays must be right, and what is said."""
    said = []
    with closing(Checkpoints(workdir, **settings)) as checkpoints:
        given, step = checkpoints.restore(state(0) if like is None else like, config, said.append)
    jax.tree.map(np.testing.assert_array_equal, given, state(step))
    return step, said


def main(workdir, copies, damage):
    random = np.random.default_rng(0)
    found = (workdir / "checkpoints/30").rglob("*")
    files = sorted(path.relative_to(workdir) for path in found if path.is_file() and path.stat().st_size)
    tries = []
    for number, file in enumerate(files):
        copy = shutil.copytree(workdir, copies / str(number))
        DAMAGES[damage](copy / file, random)
        step, said = restore(copy)
        aside = [path.name for path in copy.glob("damaged_checkpoints/*")]
        tries.append({"copy": str(copy), "step": step, "said": said, "aside": aside, "again": restore(copy)[0]})
    print(json.dumps(tries))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
