"""Estimates of the memory and speed of an experiment on a topology, from its compiled training step."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from senet_jax.config import Experiment
from senet_jax.data import Dataset
from senet_jax.planning import topologies
from senet_jax.planning.bounds import Bound, bound
from senet_jax.planning.programs import DoesNotFitError, Program, abstract_batch, compile_step
from senet_jax.planning.topologies import Topology
from senet_jax.schema import validate
from senet_jax.training import parallel
from senet_jax.training.plan import Plan, check_devices, check_durations, initial, make_plan


@dataclass(frozen=True)
class Estimate:
    """Memory and speed of an experiment on a topology."""

    plan: Plan
    topology: Topology
    hosts: int
    state_bytes: dict[str, int]
    """Bytes of the parts of the training state on each chip."""
    program: Program | None
    """Compiled step; None: it does not fit."""
    needed_bytes: int | None
    """Peak memory of a chip; None: the compiler does not say it."""
    bound: Bound | None
    """Bound on the speed; None if the step does not fit, for devices without published peaks, and for a batch in parts,
    whose loop the compiler counts once."""
    parallelism: str = "jit"

    @property
    def batch_size(self) -> int:
        """Images of a step over all chips."""
        return self.plan.config.batch_size

    @property
    def images_per_chip(self) -> int:
        """Images of a step on each chip."""
        return self.batch_size // self.topology.size


def estimate(config: Experiment, dataset: Dataset, topology: Topology, parallelism: str) -> Estimate:
    """Compiles the training step of an experiment for a topology, divided over the chips by "jit" or "pmap".

    Raises ValueError if the experiment or the topology is not possible, or if the chips do not divide a batch.
    """
    check_devices(config, topology.size)
    plan = make_plan(config, dataset)
    devices = possible_devices(topology, parallelism)
    mesh = parallel.data_mesh(devices)
    state = jax.eval_shape(partial(initial, plan), config.seed)
    parts = {
        "parameters": state.variables["params"],
        "running statistics": state.variables.get("batch_stats", {}),
        "optimizer": state.optimizer_state,
        "moving average": state.average,
    }
    sizes = {
        name: sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(part)) for name, part in parts.items()
    }
    size, channels = config.data.image_size, dataset.channels
    batch = abstract_batch(config.batch_size, (size, size, channels), mesh)
    try:
        program = compile_step(plan.train_step(), mesh, state, batch, *_numbers(config), parallelism=parallelism)
        if topology.chip is not None and program.peak_bytes > topology.chip.memory_bytes:
            raise DoesNotFitError(program.peak_bytes)
        needed = program.peak_bytes
        bounded = bound(program, topology, config.model.dtype) if config.accumulate == 1 else None
    except DoesNotFitError as error:
        program, needed, bounded = None, error.needed, None
    hosts = _hosts(devices)
    return Estimate(plan, topology, hosts, sizes, program, needed, bounded, parallelism)


def possible_devices(topology: Topology, parallelism: str) -> list[Any]:
    """Returns the devices of a topology. Raises ValueError if they, or a step divided over them so, cannot be had."""
    devices = topologies.devices(topology)
    if parallelism == "pmap" and _hosts(devices) > 1:
        raise ValueError(
            f"--topology={topology.name} has {_hosts(devices)} hosts, and jax.pmap is compiled for the devices of one; "
            "give a topology of one host, or --parallelism=jit, whose step has the same result"
        )
    return devices


def largest(first: Estimate, tell: Callable[[Estimate], None]) -> Estimate | None:
    """Returns the estimate of the largest batch that fits, to an eighth, by a few compilations; None if none fits.

    `first` is the estimate for the batch of the configuration; `tell` is called with each further one. The images of a
    chip are 1 to 7, or 8 to 15 times a power of two; numbers that the configuration does not allow are skipped; the
    largest is 30,720.
    """
    config, dataset, topology = first.plan.config, first.plan.dataset, first.topology
    sizes = [*range(1, 8), *(m << e for e in range(12) for m in range(8, 16))]
    sizes = [n for n in sizes if _possible(replace(config, batch_size=n * topology.size), dataset, topology)]
    tried: dict[int, Estimate] = {first.images_per_chip: first}

    def fits(place: int) -> bool:
        number = sizes[place]
        if number not in tried:
            changed = replace(config, batch_size=number * topology.size)
            tried[number] = estimate(changed, dataset, topology, first.parallelism)
            tell(tried[number])
        return tried[number].program is not None

    likely, fixed = float(first.images_per_chip), sum(first.state_bytes.values())
    if first.needed_bytes is not None and topology.chip is not None:  # Memory is about linear in the images.
        likely *= (topology.chip.memory_bytes - fixed) / max(1, first.needed_bytes - fixed)
    place = max((i for i, n in enumerate(sizes) if n <= likely), default=0)
    if not sizes:
        return None
    while not fits(place):
        if place == 0:
            return None
        place -= 1
    while place + 1 < len(sizes) and fits(place + 1):
        place += 1
    return tried[sizes[place]]


def measure(estimate: Estimate) -> float:
    """Runs a step that fits, with random images, on this machine; returns the seconds of the fastest of three."""
    plan, program = estimate.plan, cast("Program", estimate.program)
    config, mesh = plan.config, parallel.data_mesh(topologies.devices(estimate.topology))
    everywhere = parallel.replicated(mesh)
    state = jax.jit(partial(initial, plan), out_shardings=everywhere)(config.seed)
    batch = _random_batch(plan, mesh)
    numbers: list[Any] = list(_numbers(config))
    if estimate.parallelism == "jit":
        step, numbers = program.executable, [jax.device_put(jnp.asarray(each), everywhere) for each in numbers]
    else:  # Only the call of `PmapStep` divides the batch.
        step = parallel.PmapStep(plan.train_step(), mesh)
    seconds = []
    for _ in range(4):
        began = time.perf_counter()
        state = jax.block_until_ready(step(state, batch, *numbers))
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])


def _hosts(devices: list[Any]) -> int:
    return len({device.process_index for device in devices})


def _numbers(config: Experiment) -> tuple[int, float]:
    return config.seed, config.optimizer.learning_rate


def _random_batch(plan: Plan, mesh: Mesh) -> Any:
    rng, size, number = np.random.default_rng(0), plan.config.data.image_size, plan.config.batch_size
    image = rng.integers(0, 256, (number, size, size, plan.dataset.channels), np.uint8)
    label = rng.integers(0, plan.dataset.num_classes, number, np.int32)
    return next(parallel.to_devices([{"image": image, "label": label}], mesh))


def _possible(config: Experiment, dataset: Dataset, topology: Topology) -> bool:
    try:
        validate(config)
        check_devices(config, topology.size)
        check_durations(config, len(dataset.train))
    except ValueError:
        return False
    return config.batch_size <= len(dataset.train)
