"""Faults done to checkpoints: how many are found, how many change nothing, and how many are lost.

    python -m benchmarks.faults [--network=se_resnet50] [--flips=200]

Prints a table: fault, tries, how often the newest checkpoint was restored with the right arrays (harmless), how often
it was refused and an older one restored (found), and how often wrong arrays came back (lost). Then the seconds of a
restore, and those of its digests. Random numbers have the seed 0.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median

import jax
import jax.numpy as jnp
import numpy as np
import optax

from senet_jax import create_model
from senet_jax.checkpoints import verify
from senet_jax.config import Experiment, ModelConfig
from senet_jax.training.checkpoints import Checkpoints
from senet_jax.training.state import TrainState, init_state
from senet_jax.weights import manifests

Damage = Callable[[Path, np.random.Generator], object]


def flip(path: Path, random: np.random.Generator) -> None:
    """Flips one bit of a file."""
    content = bytearray(path.read_bytes())
    bit = int(random.integers(8 * len(content)))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(bytes(content))


DAMAGES: dict[str, Damage] = {
    "flipped bit": flip,
    "truncated": lambda path, random: path.write_bytes(path.read_bytes()[: int(random.integers(path.stat().st_size))]),
    "empty": lambda path, _: path.write_bytes(b""),
    "deleted": lambda path, _: path.unlink(),
}


def files_of(workdir: Path, step: int) -> list[Path]:
    """The files of a checkpoint that are not empty, as paths within the workdir."""
    found = (workdir / f"checkpoints/{step}").rglob("*")
    return sorted(path.relative_to(workdir) for path in found if path.is_file() and path.stat().st_size)


def _save(workdir: Path, network: str) -> tuple[TrainState, Experiment, dict[int, dict[str, list]]]:
    """Two checkpoints; returns the shapes, the configuration and the digests of each step."""
    config, model = Experiment(ModelConfig(network)), create_model(network)
    optimizer = optax.sgd(0.1, momentum=0.9)
    state = jax.jit(lambda: init_state(model, optimizer, (224, 224, 3), seed=0, average=False))()
    states = {step: jax.tree.map(lambda x, step=step: x + jnp.asarray(step, x.dtype), state) for step in (1, 2)}
    with closing(Checkpoints(workdir, keep=2)) as checkpoints:
        for step, value in states.items():
            checkpoints.save(step, value, config)
    return state, config, {step: manifests.digests(value) for step, value in states.items()}


def _tried(workdir: Path, like: TrainState, config: Experiment, digests: dict[int, dict[str, list]]) -> str:
    with closing(Checkpoints(workdir)) as checkpoints:
        state, step = checkpoints.restore(like, config, say=lambda _: None)
    if manifests.digests(state) != digests[step]:
        return "lost"
    return "harmless" if step == 2 else "found"


def _restore_seconds(workdir: Path, like: TrainState, config: Experiment) -> tuple[float, float]:
    """Returns the seconds of a whole restore, and of the digests alone; medians of five."""
    whole, alone = [], []
    for _ in range(5):
        with closing(Checkpoints(workdir)) as checkpoints:
            began = time.perf_counter()
            state, _ = checkpoints.restore(like, config)
            whole.append(time.perf_counter() - began)
        began = time.perf_counter()
        manifests.digests(state)
        alone.append(time.perf_counter() - began)
    return median(whole), median(alone)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="se_resnet20_cifar")
    parser.add_argument("--flips", type=int, default=200)
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as directory:
        original = Path(directory) / "original"
        like, config, digests = _save(original, arguments.network)
        verify(original / "checkpoints/2")
        files = files_of(original, 2)
        print(f"{len(files)} files, {sum((original / file).stat().st_size for file in files) / 2**20:.1f} MiB")
        print(f"{'fault':12} {'tries':>5} {'harmless':>8} {'found':>5} {'lost':>4} {'s each':>6}")
        for name, damage in DAMAGES.items():
            tries = arguments.flips if name == "flipped bit" else len(files)
            counts, began = {"harmless": 0, "found": 0, "lost": 0}, time.perf_counter()
            for number in range(tries):
                copy = shutil.copytree(original, Path(directory) / "copy")
                damage(copy / files[number % len(files)], random)
                counts[_tried(copy, like, config, digests)] += 1
                shutil.rmtree(copy)
            seconds = (time.perf_counter() - began) / tries
            numbers = f"{counts['harmless']:8} {counts['found']:5} {counts['lost']:4}"
            print(f"{name:12} {tries:5} {numbers} {seconds:6.2f}", flush=True)
        whole, alone = _restore_seconds(original, like, config)
        print(f"restore {whole:.2f} s, of which digests {alone:.2f} s")


if __name__ == "__main__":
    main()
