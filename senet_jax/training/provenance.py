"""Provenance of a result: commit, command, hardware, versions, time."""

import datetime
import functools
import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from senet_jax import __version__
from senet_jax.cores import usable
from senet_jax.terminal import program

_LIBRARIES = ("jax", "flax", "optax")
_VECTORS = {"AMX": "amx_tile", "AVX-512": "avx512f", "AVX2": "avx2"}
"""Instructions that decide the speed of x86-64 CPUs, widest first, by the name that Linux has for them."""


def provenance(command: str | None = None) -> dict[str, Any]:
    """Returns commit, command, hardware, versions and time of a result; by default the command of this process."""
    versions = {"python": platform.python_version(), "senet_jax": __version__}
    return {
        "commit": commit(),
        "command": command or program.invocation(),
        "hardware": _hardware(),
        "versions": versions | {name: metadata.version(name) for name in _LIBRARIES},
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def commit() -> str:
    """Returns the commit of the code, with "+" if its files have changed since; "unknown" if git does not track it.

    The first call of a process decides, so that one at its start names the code that it runs.
    """
    return _commit(Path(__file__))


@functools.cache
def _commit(file: Path) -> str:

    def git(*words: str) -> str:
        command = ["git", "-C", str(file.parent), *words]
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=True).stdout.strip()

    try:
        # An installed package can lie within the checkout of another project.
        git("ls-files", "--error-unmatch", file.name)
        head, changed = git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError) as error:
        said = str(getattr(error, "stderr", "") or "").partition("\n")[0]
        if "dubious ownership" in said:
            print(f"the commit of the code is not recorded: {said}", file=sys.stderr, flush=True)
        return "unknown"
    return head + ("+" if changed else "")


def _hardware() -> str:
    device = jax.devices()[0]
    if device.platform == "cpu":
        count, own = os.cpu_count(), usable()
        return f"{count if own == count else f'{own} of {count}'} CPU cores ({_processor()})"
    return f"{jax.device_count()} x {device.device_kind}"


def _processor() -> str:
    """Returns the name of the CPU and its widest vectors if the system tells them, else its architecture."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        told = ""
    name, flags = (re.search(rf"^{line}\s*:\s*(.+)$", told, re.MULTILINE) for line in ("model name", "flags"))
    widest = next((vectors for vectors, flag in _VECTORS.items() if flags and flag in flags[1].split()), None)
    return ", ".join(filter(None, (name[1] if name else platform.machine(), widest)))
