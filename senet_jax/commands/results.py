"""What is said of a result: its figures, and where it comes from."""

import datetime
import os
import platform
import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

_LIBRARIES = ("jax", "flax", "optax")


def provenance() -> dict[str, Any]:
    """Commit, command, hardware, versions and time of a result."""
    return {
        "commit": _commit(),
        "command": shlex.join(["python", *sys.orig_argv[1:]]),
        "hardware": _hardware(),
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in _LIBRARIES},
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def accuracy_rows(results: dict[str, float], classes: int) -> dict[str, str]:
    """Rows of the test metrics; top-5 accuracy where there are enough classes for it to say something."""
    rows = {"test accuracy": f"{results['accuracy']:.2%}", "test loss": f"{results['loss']:.4f} nats"}
    return rows | ({"top-5 accuracy": f"{results['top5_accuracy']:.2%}"} if classes > 10 else {})


def _commit() -> str:
    """The commit of the code, with "+" where files were changed since; "unknown" outside a git checkout."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+" if changed else "")


def _hardware() -> str:
    device = jax.devices()[0]
    if device.platform == "cpu":
        return f"{os.cpu_count()} CPU cores ({_processor()})"
    return f"{jax.device_count()} x {device.device_kind}"


def _processor() -> str:
    """The name of the CPU where the system tells it, else its architecture."""
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        told = ""
    name = re.search(r"^model name\s*:\s*(.+)$", told, re.MULTILINE)
    return name[1] if name else platform.machine()
