"""Topologies by their names, such as "v5e:16x16", "v4:8x8x8" or, of this machine, "cpu:8" and "gpu:1"."""

import contextlib
import math
import os
from dataclasses import dataclass
from typing import Any

from senet_jax.planning.chips import CHIPS, Chip
from senet_jax.schema import did_you_mean

_FORM = "a chip and the number of chips along each axis, as in v5e:16x16 or v4:8x8x8, or cpu:8 for fake devices"
_LOCAL = ("cpu", "gpu")
"""Devices of this machine, whose peaks are not known."""
_ALONE = {"TPU_WORKER_HOSTNAMES": "localhost", "TPU_ACCELERATOR_TYPE": "v5litepod-4", "TPU_WORKER_ID": "0"}
"""Environment variables that keep libtpu from looking for TPUs, which it does with warnings."""


@dataclass(frozen=True)
class Topology:
    """A number of chips, and the axes along which they are connected."""

    name: str
    chip: Chip | None
    """Chip; None: fake devices of this machine's CPU, or its GPUs."""
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of chips."""
        return math.prod(self.shape)

    @property
    def links(self) -> int:
        """Least number of links of a chip to others: two on an axis that is a ring, one at the end of a line.

        An axis of one chip has none.
        """
        if self.chip is None:
            return 0
        at = self.chip.wraps_at
        whole = len(self.shape) == 2 or all(length % at == 0 for length in self.shape)
        return sum(2 if whole and length % at == 0 else int(length > 1) for length in self.shape)


def parse(name: str) -> Topology:
    """Returns the topology of a name. Raises ValueError, before jax is loaded, if it is impossible."""
    chip_name, _, shape = name.partition(":")
    lengths = shape.split("x")
    if not all(length.isdecimal() and int(length) for length in lengths):
        raise ValueError(f"--topology is {name!r}; it must be {_FORM}")
    axes = tuple(map(int, lengths))
    if chip_name in _LOCAL:
        if len(axes) > 1:
            raise ValueError(
                f"--topology is {name!r}; a {chip_name.upper()} has one axis, as in {chip_name}:{math.prod(axes)}"
            )
        return Topology(name, None, axes)
    if chip_name not in CHIPS:
        near = did_you_mean(chip_name, [*CHIPS, *_LOCAL])
        raise ValueError(f"--topology is {name!r}; the chips are {', '.join(CHIPS)}, cpu and gpu{near}")
    chip = CHIPS[chip_name]
    pod = "x".join(map(str, chip.pod))
    if len(axes) != len(chip.pod):
        raise ValueError(f"--topology is {name!r}; {chip_name} has {len(chip.pod)} axes, up to {chip_name}:{pod}")
    if any(a > b for a, b in zip(sorted(axes), sorted(chip.pod), strict=True)):
        raise ValueError(f"--topology is {name!r}; the largest of {chip_name} is {chip_name}:{pod}")
    return Topology(name, chip, axes)


def devices(topology: Topology) -> list[Any]:
    """Returns the devices to compile for; those of a TPU are descriptions, on which nothing runs.

    Fake CPU devices must be asked for before jax is first used. Raises ValueError if libtpu is not installed or does
    not know the topology, if jax has fewer CPU devices already, or if fewer GPUs are here.
    """
    import jax
    from jax.experimental import topologies

    if topology.name.startswith("gpu:"):
        return _gpus(topology)
    with contextlib.suppress(RuntimeError):  # It is in use already.
        jax.config.update("jax_platforms", "cpu")  # No accelerator is looked for.
        if topology.chip is None:
            jax.config.update("jax_num_cpu_devices", topology.size)
    if topology.chip is None:
        found = jax.devices("cpu")[: topology.size]
        if len(found) < topology.size:
            raise ValueError(f"--topology is {topology.name!r}, but jax has {len(found)} CPU devices already")
        return found
    for name, value in _ALONE.items():
        os.environ.setdefault(name, value)
    # v4's two cores are one device, and slices smaller than a host's four chips are slices of a host.
    settings: dict[str, Any] = {"chip_config_name": "megacore"} if topology.chip.name == "v4" else {}
    if topology.size < 4:
        settings["chips_per_host_bounds"] = (*topology.shape, 1)[:3]
    try:
        return topologies.get_topology_desc(topology.name, platform="tpu", **settings).devices
    except (RuntimeError, ModuleNotFoundError) as error:
        if "support not installed" in str(error) or isinstance(error, ModuleNotFoundError):
            raise ValueError("plan compiles for TPUs with libtpu; pip install 'senet-jax[plan]' installs it") from error
        said = str(error).partition("\n")[0]
        raise ValueError(f"--topology is {topology.name!r}, which libtpu does not make: {said}") from error


def _gpus(topology: Topology) -> list[Any]:
    import jax

    try:
        found = jax.devices("gpu")
    except RuntimeError:
        found = []
    if len(found) < topology.size:
        raise ValueError(
            f"--topology is {topology.name!r}, but jax finds {len(found)} GPUs here; XLA compiles for GPUs where they "
            "are, and only for TPUs elsewhere"
        )
    return found[: topology.size]
