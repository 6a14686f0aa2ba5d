"""Reads a configuration or a sweep from a Python file."""

import difflib
import os
import re
import runpy
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from senet_jax.config import Experiment
from senet_jax.schema import did_you_mean, hints, sections
from senet_jax.sweep import Sweep
from senet_jax.workdir import CONFIG, read_config_file

EXPERIMENTS = Path(__file__).parents[1].joinpath("experiments").resolve()
"""Folder of the package's experiments. In a checkout, `senet_jax/experiments` is a link to the folder at the top."""
_CLASSES = {kind.__name__: kind for kind in (Experiment, *sections(Experiment).values())}


def find(path: Path) -> Path:
    """Returns the path, or that of the package's own experiment if only that one exists: `experiments/digits.py`."""
    packaged = EXPERIMENTS.parent / path
    return packaged if path.parts[:1] == ("experiments",) and packaged.is_file() and not path.exists() else path


def shown(path: Path) -> str:
    """Returns a configuration file's path as --config takes it: an experiment of the package, or a relative path."""
    inside = path.is_relative_to(EXPERIMENTS)
    return str(path.relative_to(EXPERIMENTS.parent)) if inside else os.path.relpath(path)


def load(path: Path, argument: str) -> Experiment:
    """Returns the result of get_config() of a file, or the configuration in the config.json of a run, or in a copy.

    Raises ValueError, with the file's line, for any error of the file.
    """
    if (path / CONFIG).is_file():
        raise ValueError(f"--config={path} is a directory; its configuration is {str(path / CONFIG)!r}")
    if not path.is_file():
        raise ValueError(f"there is no configuration file {str(path)!r}{_near_file(path)}")
    if path.suffix == ".json":
        return read_config_file(path)
    names = _run(path)
    if "get_config" not in names:
        raise ValueError(f"{path} has no get_config(), which returns an Experiment{did_you_mean('get_config', names)}")
    try:
        config = names["get_config"](*([argument] if argument else []))
    except Exception as error:
        raise ValueError(_fault(path, error)) from error
    if not isinstance(config, Experiment):
        raise ValueError(f"{path}: get_config() returned {config!r}; it must be a senet_jax.config.Experiment")
    return config


def load_sweep(path: Path, overrides: Iterable[str]) -> Sweep:
    """Returns the result of sweep() of a file. Raises ValueError for its errors, and if it sets an override too."""
    names = {} if path.suffix == ".json" else _run(path)
    make_sweep = names.get("sweep", lambda: None)
    try:
        sweep = make_sweep()
    except Exception as error:
        raise ValueError(_fault(path, error)) from error
    if sweep is None:
        like = shown(EXPERIMENTS / "ablations" / "reduction_ratio.py")
        raise ValueError(f"{path} has no sweep() that returns a senet_jax.sweep.Sweep; {like} is a file that has")
    if not isinstance(sweep, Sweep):
        raise ValueError(f"{path}: sweep() returned {sweep!r}; it must be a senet_jax.sweep.Sweep")
    for field in overrides:
        setters = [variant.name for variant in sweep.variants if field in variant.changes]
        if setters:
            raise ValueError(f"--config.{field} is given, but the sweep sets it too, in {setters[0]!r}; leave it out")
    return sweep


def _near_file(path: Path) -> str:
    experiments = {file.stem: shown(file) for file in sorted(EXPERIMENTS.rglob("*.py"))}
    known = experiments | {file.stem: os.path.relpath(file) for file in path.parent.glob("*.py")}
    near = difflib.get_close_matches(path.stem, known, n=1)
    return f"; did you mean {known[near[0]]!r}?" if near else f"; the experiments are {', '.join(experiments.values())}"


def _run(path: Path) -> dict[str, Any]:
    """Runs a configuration file, which can import files beside it, and returns its names.

    Raises ValueError for anything that it raises.
    """
    beside = str(path.parent.resolve())
    sys.path.append(beside)  # The last, so that it hides no module.
    try:
        return runpy.run_path(str(path))
    except Exception as error:
        raise ValueError(_fault(path, error)) from error
    finally:
        sys.path.remove(beside)


def _fault(path: Path, error: Exception) -> str:
    """Returns the message for an error that a configuration file raised, with the line of the file."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines, text = [error.lineno], error.msg
    else:
        text = re.split(r"\. Did you mean| and no __dict__", str(error))[0]  # Additions of newer Pythons.
    place = f"{path}, line {lines[-1]}" if lines else str(path)
    return f"{place}: {type(error).__name__}: {text}{_near_attribute(text)}"


def _near_attribute(text: str) -> str:
    """Returns the nearest field for Python's message about an unknown attribute of a configuration, or ""."""
    pattern = r"(\w+)(?:\.__init__\(\) got an unexpected keyword argument|' object has no attribute) '(\w+)'$"
    match = re.search(pattern, text)
    if match is None or match[1] not in _CLASSES:
        return ""
    return did_you_mean(match[2], hints(_CLASSES[match[1]]))
