"""Topologies by their names, such as "v5e:16x16", "h100:4x8" or, of this machine, "cpu:8" and "gpu:1"."""

import contextlib
import importlib.util
import math
import os
import pkgutil
from dataclasses import dataclass
from typing import Any

from senet_jax.planning.chips import CHIPS, Gpu, Shape, Tpu
from senet_jax.schema import did_you_mean

_FORM = (
    "a chip and the number of chips along each axis, as in v5e:16x16 or v4:8x8x8, GPUs of a host or of several, as in "
    "h100:8 or h100:4x8, or cpu:8 for fake devices"
)
_GPUS = 8
"""Most GPUs of a host."""
_LOCAL = ("cpu", "gpu")
"""Devices of this machine, whose peaks are not known."""
_ALONE = {
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_ID": "0",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
"""Environment variables that keep libtpu from looking for TPUs, with warnings, and from locking out another plan."""


@dataclass(frozen=True)
class Topology:
    """A number of chips, and the axes along which they are connected."""

    name: str
    chip: Tpu | Gpu | None
    """Chip; None: fake devices of this machine's CPU, or its GPUs."""
    shape: Shape
    """Chips along each axis; of GPUs, the hosts and the GPUs of each."""

    @property
    def size(self) -> int:
        """Number of chips."""
        return math.prod(self.shape)


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
    if isinstance(chip, Gpu):
        *hosts, gpus = axes
        if len(hosts) > 1 or gpus > _GPUS:
            raise ValueError(
                f"--topology is {name!r}; a host has up to {_GPUS} GPUs, as in {chip_name}:{_GPUS}, and several hosts "
                f"are {chip_name}:HOSTSx{_GPUS}"
            )
        return Topology(name, chip, (1, *axes)[-2:])
    pod = "x".join(map(str, chip.pod))
    if len(axes) != len(chip.pod):
        raise ValueError(f"--topology is {name!r}; {chip_name} has {len(chip.pod)} axes, up to {chip_name}:{pod}")
    if any(a > b for a, b in zip(sorted(axes), sorted(chip.pod), strict=True)):
        raise ValueError(f"--topology is {name!r}; the largest of {chip_name} is {chip_name}:{pod}")
    return Topology(name, chip, axes)


def check_compiler(topology: Topology) -> None:
    """Raises ValueError, before jax is loaded, if the compiler for the chips of a topology is not installed."""
    if isinstance(topology.chip, Tpu) and importlib.util.find_spec("libtpu") is None:
        raise ValueError(
            f"--topology={topology.name} needs libtpu, which compiles for absent TPUs; "
            "pip install '.[plan]' in the checkout installs it"
        )
    if isinstance(topology.chip, Gpu):
        plugins = importlib.util.find_spec("jax_plugins")
        paths = (plugins and plugins.submodule_search_locations) or []
        if not any(module.name.startswith("xla_cuda") for module in pkgutil.iter_modules(paths)):
            raise ValueError(
                f"--topology={topology.name} needs jax's CUDA plugin, which compiles for absent GPUs; "
                "pip install '.[plan-gpu]' in the checkout installs it"
            )


def devices(topology: Topology) -> list[Any]:
    """Returns the devices to compile for; those of TPUs and GPUs are descriptions, on which nothing runs.

    Fake CPU devices must be asked for before jax is first used. Raises ValueError if the compiler of the chips does not
    know the topology, if jax has fewer CPU devices already, or, for "gpu:N", if fewer GPUs are here.
    """
    import jax
    from jax.experimental import topologies

    check_compiler(topology)
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
    chip = topology.chip
    settings = _gpu_settings(chip, topology) if isinstance(chip, Gpu) else _tpu_settings(chip, topology)
    try:
        return topologies.get_topology_desc(**settings).devices
    except (RuntimeError, NotImplementedError) as error:
        said = str(error).partition("\n")[0]
        raise ValueError(f"--topology is {topology.name!r}, which its compiler does not make: {said}") from error


def _tpu_settings(chip: Tpu, topology: Topology) -> dict[str, Any]:
    for name, value in _ALONE.items():
        os.environ.setdefault(name, value)
    settings: dict[str, Any] = {"topology_name": topology.name, "platform": "tpu"}
    # v4's two cores are one device, and slices smaller than a host's four chips are slices of a host.
    if chip.name == "v4":
        settings["chip_config_name"] = "megacore"
    if topology.size < 4:
        settings["chips_per_host_bounds"] = (*topology.shape, 1)[:3]
    return settings


def _gpu_settings(chip: Gpu, topology: Topology) -> dict[str, Any]:
    hosts, gpus = topology.shape
    return {
        "topology_name": topology.name,
        "platform": "cuda",
        "target_config": chip.target,
        "topology": f"{hosts}x1x{gpus}",  # Groups that NVLink connects, hosts of each, GPUs of each.
    }


def _gpus(topology: Topology) -> list[Any]:
    import jax

    try:
        found = jax.devices("gpu")
    except RuntimeError:
        found = []
    if len(found) < topology.size:
        raise ValueError(
            f"--topology is {topology.name!r}, but jax finds {len(found)} GPUs here; absent ones have names, as in "
            f"h100:{topology.size}"
        )
    return found[: topology.size]
