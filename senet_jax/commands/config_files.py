"""Reads a configuration: from a Python file's get_config(), or from the config.json that a run left in its workdir."""

import difflib
import json
import os
import re
import runpy
import sys
import traceback
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from absl import flags, logging
from ml_collections import config_flags

from senet_jax.config import (
    DataConfig,
    Experiment,
    ModelConfig,
    OptimizerConfig,
    did_you_mean,
    from_dict,
)
from senet_jax.sweep import Sweep

CONFIG = "config.json"
"""The configuration of a training run, in its workdir."""
EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
_CLASSES = {kind.__name__: kind for kind in (Experiment, ModelConfig, DataConfig, OptimizerConfig)}


def read_workdir(workdir: Path) -> Experiment:
    """The configuration that a training run left in its workdir. Raises ValueError where there is none."""
    path = workdir / CONFIG
    if not path.is_file():
        near = did_you_mean(workdir.name, (other.parent.name for other in workdir.parent.glob(f"*/{CONFIG}")))
        raise ValueError(f"--workdir is {str(workdir)!r}, without a {CONFIG}; it must be that of a training run{near}")
    try:
        return from_dict(json.loads(path.read_text()))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def load(path: Path, argument: str) -> Experiment:
    """What get_config() of a file returns. Raises ValueError, with the file's line, for whatever it raises."""
    if not path.is_file():
        raise ValueError(f"there is no configuration file {str(path)!r}{_near_file(path)}")
    sys.modules.pop("config_config", None)  # Where config_flags would leave the names of the last file.
    holder, verbosity = flags.FlagValues(), logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # config_flags warns of a get_config() that returns None; it is refused here.
    try:
        config_flags.DEFINE_config_file(
            "config", f"{path}:{argument}" if argument else str(path), flag_values=holder, sys_argv=[]
        )
        config = holder["config"].value
        getattr(config, "model", None)  # An OSError of the file's is kept until its configuration is used.
    except Exception as error:
        raise ValueError(_fault(path, error)) from error
    finally:
        logging.set_verbosity(verbosity)
    if not isinstance(config, Experiment):
        raise ValueError(f"{path}: get_config() returned {config!r}; it must be a senet_jax.config.Experiment")
    return config


def load_sweep(path: Path, overrides: Iterable[str]) -> Sweep:
    """What sweep() of a file returns. Raises ValueError for whatever it raises, and an override that it sets too."""
    try:
        sweep: Any = runpy.run_path(str(path)).get("sweep", lambda: None)()
    except Exception as error:
        raise ValueError(_fault(path, error)) from error
    if sweep is None:
        like = os.path.relpath(EXPERIMENTS / "ablations" / "reduction_ratio.py")
        raise ValueError(f"{path} has no sweep() that returns a senet_jax.sweep.Sweep; {like} is a file that has")
    if not isinstance(sweep, Sweep):
        raise ValueError(f"{path}: sweep() returned {sweep!r}; it must be a senet_jax.sweep.Sweep")
    for field in overrides:
        setters = [variant.name for variant in sweep.variants if field in variant.changes]
        if setters:
            raise ValueError(f"--config.{field} is given, but the sweep sets it too, in {setters[0]!r}; leave it out")
    return sweep


def _near_file(path: Path) -> str:
    experiments = {file.stem: os.path.relpath(file) for file in sorted(EXPERIMENTS.rglob("*.py"))}
    known = experiments | {file.stem: os.path.relpath(file) for file in path.parent.glob("*.py")}
    near = difflib.get_close_matches(path.stem, known, n=1)
    return f"; did you mean {known[near[0]]!r}?" if near else f"; the experiments are {', '.join(experiments.values())}"


def _fault(path: Path, error: BaseException | None) -> str:
    """The message for what a configuration file raised, with the line of the file where it did."""
    chain: list[tuple[BaseException, int | None]] = []
    while error is not None:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        chain.append((error, frames[-1].lineno if frames else None))
        error = error.__cause__ or error.__context__
    cause, line = next((entry for entry in chain if entry[1]), chain[-1])
    if isinstance(cause, AttributeError) and cause.name == "get_config" and isinstance(cause.obj, types.ModuleType):
        return f"{path} has no get_config(), which returns an Experiment{did_you_mean('get_config', vars(cause.obj))}"
    if isinstance(cause, SyntaxError) and cause.filename == str(path):
        line, text = cause.lineno, cause.msg
    else:
        text = re.split(r"\. Did you mean| and no __dict__", str(cause))[0]  # What newer Pythons add to it.
    place = f"{path}, line {line}" if line else str(path)
    return f"{place}: {type(cause).__name__}: {text}{_near_attribute(text)}"


def _near_attribute(text: str) -> str:
    """The nearest field, where a message of Python's speaks of one that a class of the configuration has not."""
    pattern = r"(\w+)(?:\.__init__\(\) got an unexpected keyword argument|' object has no attribute) '(\w+)'$"
    match = re.search(pattern, text)
    if match is None or match[1] not in _CLASSES:
        return ""
    return did_you_mean(match[2], typing.get_type_hints(_CLASSES[match[1]]))
