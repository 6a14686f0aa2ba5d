"""`launch.py bench`: speed of a network with squeeze-and-excitation and of its plain twin, ours and others'.

Every contestant is a process that is started once; then they are measured in turns.
"""

import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from senet_jax import allocator, bench
from senet_jax.bench.contest import Entry, Result, contest, ratios
from senet_jax.bounds import Count, NotNegative
from senet_jax.commands.places import check_output_directory
from senet_jax.commands.request import CommandOptions, Directory, Request
from senet_jax.cores import usable
from senet_jax.schema import Placeholder, Rule, one_of


@dataclass(frozen=True)
class Variant:
    """An implementation of the networks."""

    label: str
    worker: Sequence[str]
    """Arguments of Python that start its process."""
    settings: dict[str, Any]


_JAX_WORKER = ("-m", "senet_jax.bench.jax_worker")
_TIMM_WORKER = (str(Path(bench.__path__[0], "timm_worker.py")),)
"""Path of the worker, because the peer's Python lacks senet_jax."""


def _ours(label: str, *, lowering: str = "platform", **norm: Any) -> Variant:
    """Makes a variant of ours with this lowering of convolutions and these fields of `BatchNorm`."""
    return Variant(label, _JAX_WORKER, {"stock": False, "lowering": lowering, "norm": norm})


def _timm(label: str, *, channels_last: bool = False, compiled: bool = False) -> Variant:
    return Variant(label, _TIMM_WORKER, {"channels_last": channels_last, "compiled": compiled})


VARIANTS = {
    "ours": _ours("ours"),
    "ours_unfused": _ours("ours, not fused", fused=False),
    "ours_portable": _ours("ours, without oneDNN", lowering="portable"),
    "ours_xla": _ours("ours, XLA's convolutions", lowering="xla"),
    "flax": Variant("flax.linen", _JAX_WORKER, {"stock": True}),
    "timm": _timm("timm"),
    "timm_channels_last": _timm("timm, channels_last", channels_last=True),
    "timm_compiled": _timm("timm, compiled", compiled=True),
    "timm_compiled_channels_last": _timm("timm, compiled, channels_last", compiled=True, channels_last=True),
}
"""Variants by name; labels begin with "ours", "flax" or "timm"."""


@dataclass(frozen=True)
class Pair:
    """The plain twin of a network, and how both are measured."""

    plain: str
    batch_size: int = 16
    image_size: int = 224
    stock: bool = True
    """Whether `bench.stock_flax` has them."""


NETWORKS = {
    "timm/seresnet50": Pair("timm/resnet50"),
    "timm/seresnext50_32x4d": Pair("timm/resnext50_32x4d"),
    "se_resnet20_cifar": Pair("resnet20_cifar", batch_size=128, image_size=32, stock=False),
}
"""Networks that timm, or `bench.timm_cifar` from its blocks, has with the same parameters."""
Mode = Literal["training", "inference"]
_COLUMNS = {
    "contestant": "contestant",
    "network": "network",
    "images_per_second": "images/s",
    "lowest": "lowest",
    "highest": "highest",
    "cpu_seconds_per_step": "CPU s/step",
    "peak_memory_gib": "peak GiB",
    "compiled_memory_gib": "compiled GiB",
    "bytes_accessed_gib": "accessed GiB",
    "compile_seconds": "compile s",
}
_RATIOS = {"ratio": "ratio", "quantity": "of", "median": "median", "lowest": "lowest", "highest": "highest"}


@dataclass(frozen=True, kw_only=True)
class Options(CommandOptions):
    """Measures the speed of a network and its plain twin in turns: ours, stock Flax and timm."""

    model: Annotated[str, one_of(NETWORKS), Placeholder("NAME")] = "timm/seresnet50"
    """Name of the network."""
    batch_size: Annotated[Count, Placeholder("IMAGES")] | None = None
    """Images in a step; none: 16, or 128 for networks of CIFAR."""
    image_size: Annotated[Count, Placeholder("PIXELS")] | None = None
    """Height and width of the image; none: 224, or 32 for networks of CIFAR."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Compute type."""
    modes: Annotated[tuple[Mode, ...], Rule("training, inference or both", bool), Placeholder("MODES")] = (
        "training",
        "inference",
    )
    """Modes that are measured."""
    variants: Annotated[tuple[Annotated[str, one_of(VARIANTS)], ...], Placeholder("NAMES")] = ()
    """Contestants; empty: all that can be measured."""
    rounds: Count = 4
    """Measurements of each contestant."""
    seconds: NotNegative = 4.0
    """About how long a measurement takes, in seconds; one step at least."""
    peer_python: Annotated[str, Placeholder("FILE")] | None = None
    """A Python that has timm and PyTorch, as a shell takes it; none: timm is left out."""
    allocator: bool = True
    """Whether the C library keeps freed memory, for all contestants."""
    output: Directory | None = None
    """Directory for tables and figure; none: a new one in runs/bench."""


def prepare(request: Request) -> Callable[[], None]:
    """Raises ValueError for an impossible measurement."""
    options = cast(Options, request.options)
    network, pair, peer = options.model, NETWORKS[options.model], options.peer_python
    possible = [name for name, variant in VARIANTS.items() if peer or variant.worker != _TIMM_WORKER]
    variants = options.variants or [name for name in possible if pair.stock or name != "flax"]
    if "flax" in variants and not pair.stock:
        raise ValueError(f"--variants=flax has no {network}; leave it out")
    if platform.libc_ver()[0] != "glibc":
        raise ValueError("bench runs on Linux with glibc only, whose allocator and memory counts it uses")
    if any(VARIANTS[name].worker == _TIMM_WORKER for name in variants):
        peer = _peer(peer)
    output = options.output or Path("runs/bench") / f"{datetime.datetime.now():%Y-%m-%d_%H%M%S}"
    check_output_directory(output)
    settings = {
        "batch_size": options.batch_size or pair.batch_size,
        "image_size": options.image_size or pair.image_size,
        "dtype": options.dtype,
        "turn_seconds": options.seconds,
    }
    contests = {
        mode: [
            _entry(mode, VARIANTS[name], twin, settings, peer) for name in variants for twin in (network, pair.plain)
        ]
        for mode in options.modes
    }
    settings |= {"allocator": options.allocator, "threads": usable()}
    return lambda: _run(contests, options.rounds, settings, output)


def _entry(mode: str, variant: Variant, network: str, settings: dict[str, Any], peer: str | None) -> Entry:
    python = sys.executable if peer is None or variant.worker != _TIMM_WORKER else peer
    given = json.dumps(settings | variant.settings | {"mode": mode, "network": network})
    return Entry(variant.label, network, network in NETWORKS, mode, [python, *variant.worker, given])


def _run(contests: dict[str, list[Entry]], rounds: int, settings: dict[str, Any], output: Path) -> None:
    from senet_jax.bench import report  # Matplotlib is slow to import, and errors must be quick.
    from senet_jax.training.provenance import commit, provenance

    commit()  # The checkout may change meanwhile.
    output.mkdir(parents=True, exist_ok=True)
    images, size = settings["batch_size"], settings["image_size"]
    title = f"{images} images of {size} x {size} pixels, {settings['dtype']}"
    results: list[Result] = []
    for mode, entries in contests.items():
        print(f"{mode}, {title}", flush=True)
        results += contest(entries, rounds, _environment(settings))
    origin = settings | provenance()
    title = f"{title}, {origin['hardware']}"
    rows, compared = report.measurements(results, images), report.compared(ratios(results))
    report.write(output / "measurements.csv", rows, origin)
    report.write(output / "ratios.csv", compared, origin)
    report.draw(results, images, output / "speed.png", title)
    for mode in contests:
        print(f"\n{mode}, {title}")
        print(report.table([row for row in rows if row["mode"] == mode], _COLUMNS))
        print("\n" + report.table([row for row in compared if row["mode"] == mode], _RATIOS))
    print(f"\nwritten: measurements.csv, ratios.csv and speed.png in {output}")


def _peer(python: str | None) -> str:
    """Returns the absolute path of a Python with timm, which may be found by its name; ValueError if it is none."""
    if python is None:
        raise ValueError("the timm variants need --peer_python=FILE, a Python that has timm and PyTorch")
    code = "import importlib.util, sys; sys.exit(not all(map(importlib.util.find_spec, ('timm', 'torch'))))"
    try:
        found = os.path.abspath(shutil.which(python) or python)
        subprocess.run([found, "-c", code], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        raise ValueError(f"--peer_python is {python!r}; it must be a Python that has timm and PyTorch") from None
    return found


def _environment(settings: dict[str, Any]) -> dict[str, str]:
    """Returns the environment of all contestants: equal threads and allocator, and no compilation caches."""
    same = {
        "OMP_NUM_THREADS": str(settings["threads"]),
        "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    removed = ("GLIBC_TUNABLES", "JAX_COMPILATION_CACHE_DIR")
    own = {name: value for name, value in os.environ.items() if name not in removed}
    return own | same | ({"GLIBC_TUNABLES": allocator.TUNABLES} if settings["allocator"] else {})
