"""`launch.py bench`: how fast a network with squeeze-and-excitation and its plain twin are, and those of others.

Every contestant is a process of its own that is started once; then they are measured in turns.
"""

import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from senet_jax import allocator, bench
from senet_jax.bench.contest import Entry, Result, contest, ratios
from senet_jax.commands.command_line import Request
from senet_jax.schema import did_you_mean
from senet_jax.terminal import program


@dataclass(frozen=True)
class Variant:
    """A way to compute the networks."""

    label: str
    worker: Sequence[str]
    """Arguments with which Python starts the process that computes."""
    settings: dict[str, Any] = field(default_factory=dict)


_JAX_WORKER = ("-m", "senet_jax.bench.jax_worker")
_TIMM_WORKER = (str(Path(bench.__path__[0], "timm_worker.py")),)
"""By its path: the peer's Python has no senet_jax."""


def _ours(label: str, *, lowering: str = "platform", **norm: Any) -> Variant:
    """With this lowering of convolutions, and these fields of `BatchNorm`."""
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
"""By the first letters of their labels, ours, stock Flax's ("flax") and timm's."""
NETWORKS = {"timm/seresnet50": "timm/resnet50", "timm/seresnext50_32x4d": "timm/resnext50_32x4d"}
"""The plain twins. Under these names ours are to the last parameter what timm has."""
MODES = ("training", "inference")
DTYPES = ("float32", "bfloat16")
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


def prepare(request: Request) -> Callable[[], None]:
    """Raises ValueError for what cannot be measured."""
    options = request.options
    network = options.get("model", "timm/seresnet50")
    if network not in NETWORKS:
        raise ValueError(f"--model is {network!r}; bench takes {', '.join(NETWORKS)}{did_you_mean(network, NETWORKS)}")
    modes = _chosen("modes", options.get("modes", MODES), MODES)
    peer = options.get("peer_python")
    default = [name for name, variant in VARIANTS.items() if peer or variant.worker != _TIMM_WORKER]
    variants = _chosen("variants", options.get("variants", default), VARIANTS)
    dtype = _chosen("dtype", [options.get("dtype", "float32")], DTYPES)[0]
    if platform.libc_ver()[0] != "glibc":
        raise ValueError("bench runs on Linux with glibc only, whose allocator and memory counts it uses")
    if any(VARIANTS[name].worker == _TIMM_WORKER for name in variants):
        _check_peer(peer)
    output = options.get("output") or Path("runs/bench") / f"{datetime.datetime.now():%Y-%m-%d_%H%M%S}"
    if output.exists() and not output.is_dir():
        raise ValueError(f"--output is {str(output)!r}, a file; it must be a directory")
    settings = {
        "batch_size": options.get("batch_size", 16),
        "image_size": options.get("image_size", 224),
        "dtype": dtype,
        "turn_seconds": options.get("seconds", 4.0),
    }
    contests = {
        mode: [
            _entry(mode, VARIANTS[name], twin, settings, peer)
            for name in variants
            for twin in (network, NETWORKS[network])
        ]
        for mode in modes
    }
    settings |= {"allocator": options.get("allocator", True), "threads": len(os.sched_getaffinity(0))}
    return lambda: _run(contests, options.get("rounds", 4), settings, output)


def _entry(mode: str, variant: Variant, network: str, settings: dict[str, Any], peer: Path | None) -> Entry:
    python = sys.executable if peer is None or variant.worker != _TIMM_WORKER else str(peer.absolute())
    given = json.dumps(settings | variant.settings | {"mode": mode, "network": network})
    return Entry(variant.label, network, network in NETWORKS, mode, [python, *variant.worker, given])


def _run(contests: dict[str, list[Entry]], rounds: int, settings: dict[str, Any], output: Path) -> None:
    from senet_jax.bench import report  # Matplotlib is slow to import, and a refusal must be quick.
    from senet_jax.training.provenance import provenance

    output.mkdir(parents=True, exist_ok=True)
    images, size = settings["batch_size"], settings["image_size"]
    title = f"{images} images of {size} x {size} pixels, {settings['dtype']}"
    results: list[Result] = []
    for mode, entries in contests.items():
        print(f"{mode}, {title}", flush=True)
        try:
            results += contest(entries, rounds, _environment(settings))
        except RuntimeError as error:
            sys.exit(f"{program.name()}: error: {error}")
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


def _chosen(flag: str, given: Sequence[str], allowed: Sequence[str] | dict[str, Any]) -> Sequence[str]:
    """The values of a flag. Raises ValueError for one that is not allowed, and for none."""
    for value in given or ("",):
        if value not in allowed:
            near = did_you_mean(value, allowed)
            raise ValueError(f"--{flag} has {value!r}; allowed are {', '.join(allowed)}{near}")
    return given


def _check_peer(python: Path | None) -> None:
    """Raises ValueError where a Python with timm is needed and not given."""
    if python is None:
        raise ValueError("the timm variants need --peer_python=FILE, a Python that has timm and PyTorch")
    code = "import importlib.util, sys; sys.exit(not all(map(importlib.util.find_spec, ('timm', 'torch'))))"
    try:
        subprocess.run([python, "-c", code], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        raise ValueError(f"--peer_python is {str(python)!r}; it must be a Python that has timm and PyTorch") from None


def _environment(settings: dict[str, Any]) -> dict[str, str]:
    """The same for all contestants: as many threads, the same allocator, nothing from a compiler's cache."""
    same = {
        "OMP_NUM_THREADS": str(settings["threads"]),
        "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    removed = ("GLIBC_TUNABLES", "JAX_COMPILATION_CACHE_DIR")
    own = {name: value for name, value in os.environ.items() if name not in removed}
    return own | same | ({"GLIBC_TUNABLES": allocator.TUNABLES} if settings["allocator"] else {})
