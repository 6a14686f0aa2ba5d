"""Checkpoints with Orbax: the state and a manifest that proves it, committed together.

Orbax restores flipped bits without an error. The manifest has digests of every array and of itself.
"""

import logging
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging as absl_logging

from senet_jax import workdir as workdirs
from senet_jax.config import Experiment
from senet_jax.disks import space
from senet_jax.schema import from_dict, to_dict
from senet_jax.training import processes
from senet_jax.training.state import TrainState
from senet_jax.training.watchdog import watched
from senet_jax.weights import manifests, runs
from senet_jax.weights.manifests import DamagedError, UnusableError


class SaveError(workdirs.RunError):
    """A checkpoint could not be saved."""


class Checkpoints:
    """The checkpoints of a workdir. They are saved in the background; `close` waits for it."""

    def __init__(self, workdir: Path, keep: int | None = None, stuck_after: float | None = None):
        """Opens the checkpoints, and removes what a killed process has left of others.

        If `save` or `close` takes more than `stuck_after` seconds, the process ends.
        """
        self._workdir, self._keep, self._stuck_after = workdir, keep, stuck_after
        self._directory = (workdir / workdirs.CHECKPOINTS).absolute()
        for logger in (absl_logging.get_absl_logger(), logging.getLogger("asyncio")):
            logger.addFilter(_is_not_of_orbax)
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, cleanup_tmp_directories=True)
        self._manager: Any = ocp.CheckpointManager(self._directory, options=options)

    @property
    def latest(self) -> int | None:
        """Step of the newest complete checkpoint; None if there is none."""
        return max(self.steps, default=None)

    @property
    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, in order."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, state: TrainState, config: Experiment) -> None:
        """Saves the state after `step` steps, which is also its place in the data: batches come in the order of steps.

        Raises SaveError if it cannot be saved, or if the one before it could not be.
        """
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            manifest=ocp.args.JsonSave(manifests.make(step, state, to_dict(config))),
        )
        try:
            if not self._directory.is_dir():  # Orbax would make it anew, without the other files of the run.
                raise FileNotFoundError(f"{self._directory} was removed")
            with watched(self._stuck_after):  # It waits for the save before.
                saved = self._manager.save(step, args=items)
            if not saved:
                raise RuntimeError(f"Orbax does not save step {step}")
        except Exception as error:  # Each file system has its own ways to fail.
            raise self._unsaved(error) from error

    def check_space(self, state: Any, saves: int) -> None:
        """Raises SaveError if the disk has no room for so many checkpoints of a state, as far as they are kept."""
        one = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        free = shutil.disk_usage(self._directory).free
        kept = (self._keep or 1) + 1 - len(self.steps)  # An old one goes when the new one is complete.
        number = max(1, min(kept, saves))
        if free < number * one:
            raise SaveError(
                f"{self._directory} has {free:,} bytes free, and {number} checkpoints of {one:,} bytes are to be "
                "written there; give another workdir, or a smaller config.keep_checkpoints"
            )

    def _unsaved(self, error: Exception) -> SaveError:
        newest = "there is no older one" if self.latest is None else f"the newest whole one is of step {self.latest}"
        return SaveError(
            f"a checkpoint could not be saved: {self._directory} {space(self._directory)} "
            f"({manifests.first_line(error, end=True)}); {newest}"
        )

    def restore(self, like: TrainState, config: Experiment) -> tuple[TrainState, int]:
        """Returns the state of the newest undamaged checkpoint, and the number of batches that it has seen.

        Damaged ones that are newer are named on standard error, and moved to `damaged_checkpoints` in the workdir. The
        state has the shapes, types and shardings of `like`.

        Raises UnusableError, a ValueError, if a checkpoint is of another configuration or of arrays of other shapes or
        types, if one cannot be read for a reason that may pass, or if all are damaged. Then all stay in their place.
        """
        faults: dict[int, str] = {}
        for step in reversed(self.steps):
            state, fault, passing = None, "", False
            try:
                state = self._proven(step, like, config)
            except DamagedError as error:
                fault, passing = str(error), manifests.may_pass(error)
            except UnusableError as error:
                processes.worst(str(error))
                raise
            if unread := processes.worst(fault if passing else ""):
                raise UnusableError(
                    f"the checkpoint of step {step} in {self._workdir} could not be read: {unread}; the same command "
                    "tries again"
                )
            fault = processes.worst(fault)  # All processes use the same checkpoint.
            if state is not None and not fault:
                self._leave(faults)
                return state, step
            faults[step] = fault
        listed = "; ".join(f"that of step {step}: {fault}" for step, fault in faults.items())
        raise UnusableError(f"{self._workdir} has no undamaged checkpoint ({listed}); train anew in another workdir")

    def close(self) -> None:
        """Waits for the save under way. Raises SaveError if it fails."""
        try:
            with watched(self._stuck_after):
                self._manager.wait_until_finished()
        except Exception as error:  # As in `save`.
            raise self._unsaved(error) from error
        finally:
            self._manager.close()

    def _proven(self, step: int, like: TrainState, config: Experiment) -> TrainState:
        manifest = manifests.read(self._directory / str(step))
        _check_same(manifest["config"], config, f"the checkpoint of step {step} in {self._workdir}")
        shapes = {name: manifests.described(leaf) for name, leaf in manifests.leaves(like)}
        saved = {name: array[:2] for name, array in manifest["arrays"].items()}
        if shapes != saved:
            differ = sorted(name for name in shapes.keys() | saved.keys() if shapes.get(name) != saved.get(name))
            here = {name: manifests.said(shapes.get(name)) for name in differ[:5]}
            listed = "; ".join(f"{name} is {manifests.said(saved.get(name))}, and here {here[name]}" for name in here)
            raise UnusableError(
                f"the checkpoint of step {step} in {self._workdir} is of another network or optimiser: "
                f"{len(differ)} arrays differ: {listed}"
            )
        abstract: Any = jax.tree.map(ocp.tree.to_shape_dtype_struct, like)
        try:
            with runs.reading(self._directory) as reader:  # It can fail in one process alone.
                state = reader.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract)))
        except Exception as error:  # Damage raises errors of many types.
            raise DamagedError(manifests.first_line(error)) from error
        manifests.compare(manifest["arrays"], state["state"])
        return state["state"]

    def _leave(self, faults: dict[int, str]) -> None:
        """Names damaged checkpoints, and moves them aside."""
        if not faults:
            return
        aside = self._workdir / workdirs.DAMAGED
        with processes.agreed():
            for step, fault in faults.items() if processes.is_first() else ():
                path = self._directory / str(step)
                try:
                    aside.mkdir(exist_ok=True)
                    path.rename(aside / f"{len(list(aside.iterdir()))}_step{step}")
                except OSError as error:
                    raise UnusableError(f"{path}, which is damaged, cannot be moved to {aside}: {error}") from error
                said = f"the checkpoint of step {step} in {path} is damaged: {fault}; it was moved to {aside}"
                print(said, file=sys.stderr, flush=True)
        self._manager.reload()


def _is_not_of_orbax(record: logging.LogRecord) -> bool:
    """Tells whether a log record has no traceback of a task of Orbax, whose error `save` or `close` raises too."""
    frames = traceback.walk_tb(record.exc_info[2] if record.exc_info else None)
    return not any("orbax" in frame.f_code.co_filename for frame, _ in frames)


def _check_same(held: dict[str, Any], config: Experiment, holder: str) -> None:
    try:
        workdirs.check_same(from_dict(Experiment, held), config, holder)
    except ValueError as error:
        raise UnusableError(str(error)) from error
