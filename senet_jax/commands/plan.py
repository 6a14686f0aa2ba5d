"""`launch.py plan`: memory and speed of an experiment on a topology of TPUs or GPUs, without the hardware."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, cast

from senet_jax.bounds import Count, Name
from senet_jax.commands.request import CommandOptions, Parallelism, Request
from senet_jax.planning import topologies
from senet_jax.planning.chips import Gpu
from senet_jax.planning.topologies import Topology
from senet_jax.schema import Placeholder
from senet_jax.terminal.tables import print_table

if TYPE_CHECKING:
    from senet_jax.planning.estimate import Estimate


@dataclass(frozen=True, kw_only=True)
class Options(CommandOptions):
    """Compiles the training step of an experiment for a topology of absent TPUs or GPUs.

    Prints whether it fits, the bound on its speed, the traffic between chips and the reads of hosts.
    """

    configured = True
    reads_run = True

    topology: Annotated[Name, Placeholder("CHIP:SHAPE")]
    """Topology, as in v5e:16x16, v4:8x8x8, h100:8 or h100:4x8 (hosts and their GPUs); cpu:8 measures a step on fake
    devices, gpu:1 on the GPU that is here."""
    largest_batch: bool = False
    """Finds the largest batch that fits into the chips, by a few more compilations."""
    parallelism: Parallelism = "jit"
    """How the step is divided over the devices, as in `train`."""
    train_images: Count | None = None
    """Number of training images, if the dataset is not prepared here."""


def prepare(request: Request) -> Callable[[], None]:
    """Raises ValueError for an impossible topology, network or dataset, after the quickest check."""
    options, config = cast(Options, request.options), request.config
    topology = topologies.parse(options.topology)
    if options.largest_batch and topology.chip is None:
        raise ValueError(f"--largest_batch needs chips whose memory is known; --topology is {topology.name!r}")
    topologies.check_compiler(topology)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # The table says what XLA warns of: a step that does not fit.
    # jax is slow to import, and errors must be quick.
    from senet_jax.planning import datasets
    from senet_jax.planning.estimate import estimate, possible_devices
    from senet_jax.training.plan import check_devices, make_plan
    from senet_jax.training.starting import settled
    from senet_jax.weights.configured import build_model

    build_model(config.model, num_classes=1)
    config = settled(config)
    check_devices(config, topology.size)
    possible_devices(topology, options.parallelism)
    dataset = datasets.described(config.data, options.train_images)
    _ = make_plan(config, dataset).parameters  # Raises an error before the images are timed.

    def run() -> None:
        decoding = datasets.decoding_seconds(dataset, config.data)
        print(f"compiling the training step for {topology.name}", flush=True)
        found = estimate(config, dataset, topology, options.parallelism)
        _print(found, topology, decoding, wants_largest=options.largest_batch)

    return run


def _print(found: "Estimate", topology: Topology, decoding: tuple[float, str] | None, *, wants_largest: bool) -> None:
    from senet_jax.planning import report
    from senet_jax.planning.estimate import largest, measure
    from senet_jax.terminal.progress import working

    print_table(report.rows(found, decoding))
    if topology.chip is not None:
        print(f"\n{report.NOTE}", flush=True)
        if isinstance(topology.chip, Gpu):
            print(report.GPU_NOTE, flush=True)
    elif found.program is not None:
        seconds = measure(found)
        print_table({"measured here": f"{seconds:.3f} s a step, {found.batch_size / seconds:,.1f} images/s"})
    if wants_largest:
        with working("looking for the largest batch"):
            best = largest(found, lambda tried: print(report.trial(tried), flush=True))
        print_table({"largest batch that fits": "none" if best is None else report.size(best)})
