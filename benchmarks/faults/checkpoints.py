"""Damages the files of a checkpoint: the damage is found and the older checkpoint restored, or it is harmless."""

import io
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, redirect_stderr
from pathlib import Path
from statistics import median

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.faults.runs import Tally
from senet_jax import create_model
from senet_jax.checkpoints import verify
from senet_jax.config import Experiment, ModelConfig
from senet_jax.training.checkpoints import Checkpoints
from senet_jax.training.state import TrainState, init_state
from senet_jax.weights import manifests

Damage = Callable[[Path, np.random.Generator], object]
Digests = dict[int, dict[str, list]]
_REPEATS = 5


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


def _item_of_before(item: str) -> Callable[[Path], None]:
    def damage(checkpoints: Path) -> None:
        shutil.rmtree(checkpoints / "2" / item)
        shutil.copytree(checkpoints / "1" / item, checkpoints / "2" / item)

    return damage


STALE: dict[str, Callable[[Path], object]] = {
    "arrays of the step before": _item_of_before("state"),
    "manifest of the step before": _item_of_before("manifest"),
    "whole checkpoint of the step before": lambda checkpoints: (
        shutil.rmtree(checkpoints / "2"),
        shutil.copytree(checkpoints / "1", checkpoints / "2"),
    ),
    "unfinished save": lambda checkpoints: shutil.copytree(
        checkpoints / "2", checkpoints / "3.orbax-checkpoint-tmp", ignore=shutil.ignore_patterns("manifest")
    ),
    "empty directory of a later step": lambda checkpoints: (checkpoints / "3").mkdir(),
    "later step without its manifest": lambda checkpoints: shutil.copytree(
        checkpoints / "2", checkpoints / "3", ignore=shutil.ignore_patterns("manifest")
    ),
    "copy with the name of a later step": lambda checkpoints: shutil.copytree(checkpoints / "2", checkpoints / "3"),
}
"""Files that failed commits and copies leave behind in `checkpoints`."""


def files_of(workdir: Path, step: int) -> list[Path]:
    """The files of a checkpoint that are not empty, as paths within the workdir."""
    found = (workdir / f"checkpoints/{step}").rglob("*")
    return sorted(path.relative_to(workdir) for path in found if path.is_file() and path.stat().st_size)


def campaign(directory: Path, network: str, flips: int) -> Iterator[Tally]:
    """Yields a tally for each kind of damage to the newer of two checkpoints."""
    random = np.random.default_rng(0)
    original = directory / "original"
    like, config, digests = saved(original, network)
    verify(original / "checkpoints/2")
    files = files_of(original, 2)
    tasks: list[tuple[str, list[Callable[[Path], object]]]] = []
    for name, damage in DAMAGES.items():
        tries = flips if name == "flipped bit" else len(files)
        chosen = [files[number % len(files)] for number in range(tries)]
        harm = [lambda copy, file=file, damage=damage: damage(copy / file, random) for file in chosen]
        tasks.append((f"checkpoint: {name}", harm))
    harm = [lambda copy, damage=damage: damage(copy / "checkpoints") for damage in STALE.values()]
    tasks.append(("checkpoint: stale or unfinished", harm))
    for name, harms in tasks:
        tally, found = Tally(name), 0
        for harm in harms:
            copy = shutil.copytree(original, directory / "copy")
            harm(copy)
            began = time.perf_counter()
            step, said = _restored(copy, like, config, digests)
            tally.seconds.append(time.perf_counter() - began)
            tally.count(step > 0)
            found += bool(said)
            shutil.rmtree(copy)
        tally.seen = f"{found} found, {tally.survived - found} harmless; {len(files)} files"
        yield tally


def _restored(workdir: Path, like: TrainState, config: Experiment, digests: Digests) -> tuple[int, list[str]]:
    """Returns the restored step, 0 if its arrays are not those that were saved, and the messages."""
    said = io.StringIO()
    with closing(Checkpoints(workdir)) as checkpoints, redirect_stderr(said):
        state, step = checkpoints.restore(like, config)
    messages = re.findall("^the checkpoint of .*", said.getvalue(), re.M)  # Reads under way print errors too.
    return step if manifests.digests(state) == digests.get(step) else 0, messages


def saved(workdir: Path, network: str) -> tuple[TrainState, Experiment, Digests]:
    """Saves two checkpoints; returns a state of their shapes, the configuration and the digests of each step."""
    config, model = Experiment(ModelConfig(network)), create_model(network)
    optimizer = optax.sgd(0.1, momentum=0.9)
    state = jax.jit(lambda: init_state(model, optimizer, (224, 224, 3), seed=0, average=False))()
    states = {step: jax.tree.map(lambda x, step=step: x + jnp.asarray(step, x.dtype), state) for step in (1, 2)}
    with closing(Checkpoints(workdir, keep=2)) as checkpoints:
        for step, value in states.items():
            checkpoints.save(step, value, config)
    return state, config, {step: manifests.digests(value) for step, value in states.items()}


def digests_of_a_restore(directory: Path, network: str) -> Iterator[Tally]:
    """Yields the seconds of restores from a cold page cache and from a warm one, and the share of the digests."""
    workdir = directory / network
    like, config, _ = saved(workdir, network)
    for cache in ("cold", "warm"):
        tally, alone, processor = Tally(f"restore of {network}, {cache} page cache"), [], []
        for _ in range(_REPEATS):
            if cache == "cold":
                _forget(workdir)
            with closing(Checkpoints(workdir)) as checkpoints:
                began, used = time.perf_counter(), time.process_time()
                state, step = checkpoints.restore(like, config)
                tally.seconds.append(time.perf_counter() - began)
                whole = time.process_time() - used
            tally.count(step == 2)
            began, used = time.perf_counter(), time.process_time()
            manifests.digests(state)
            alone.append(time.perf_counter() - began)
            processor.append((time.process_time() - used) / whole)
        share = median(alone) / median(tally.seconds)
        tally.seen = (
            f"of which digests {median(alone):.2f} s, {share:.0%}; of the processors' time {median(processor):.0%}"
        )
        yield tally


def _forget(workdir: Path) -> None:
    """Removes the contents of files from the system's page cache."""
    os.sync()
    for path in workdir.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
