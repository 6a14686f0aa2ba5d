"""`launch.py plan`: what an experiment needs and how fast it could be on a topology, without the hardware."""

import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING

from senet_jax.commands.command_line import Request
from senet_jax.planning import topologies
from senet_jax.planning.topologies import Topology
from senet_jax.terminal.tables import print_table

if TYPE_CHECKING:
    from senet_jax.planning.estimate import Estimate


def prepare(request: Request) -> Callable[[], None]:
    """Raises ValueError for a topology, a network or a dataset that is not possible, the quickest check first."""
    options, config = request.options, request.config
    topology = topologies.parse(options["topology"])
    if topology.chip is not None and importlib.util.find_spec("libtpu") is None:
        raise ValueError(
            f"--topology={topology.name} needs libtpu, which compiles for TPUs that are not here; "
            "pip install 'senet-jax[plan]' installs it"
        )
    # jax is slow to import, and a refusal must be quick.
    from senet_jax.planning import datasets
    from senet_jax.planning.estimate import estimate
    from senet_jax.training.plan import check_devices
    from senet_jax.weights.configured import build_model

    build_model(config.model, num_classes=1)
    check_devices(config, topology.size)
    topologies.devices(topology)
    dataset = datasets.described(config.data, options.get("train_images"))

    def run() -> None:
        decoding = datasets.decoding_seconds(dataset, config.data)
        print(f"compiling the training step for {topology.name}", flush=True)
        _print(
            estimate(config, dataset, topology), topology, decoding, wants_largest=options.get("largest_batch", False)
        )

    return run


def _print(found: "Estimate", topology: Topology, decoding: tuple[float, str] | None, *, wants_largest: bool) -> None:
    from senet_jax.planning import report
    from senet_jax.planning.estimate import largest, measure

    print_table(report.rows(found, decoding))
    if topology.chip is not None:
        print(f"\n{report.NOTE}", flush=True)
    elif found.program is not None:
        seconds = measure(found)
        print_table({"measured here": f"{seconds:.3f} s a step, {found.batch_size / seconds:,.1f} images/s"})
    if wants_largest:
        best = largest(found)
        print_table({"largest batch that fits": "none" if best is None else report.size(best)})
