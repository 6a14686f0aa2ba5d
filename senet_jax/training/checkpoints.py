"""Checkpoints with Orbax: the state, the place in the data and the configuration, committed together."""

from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from senet_jax.config import Experiment, to_dict
from senet_jax.training.state import TrainState
from senet_jax.workdir import CHECKPOINTS


class Checkpoints:
    """The checkpoints of a workdir. Saving goes on in the background; `close` waits for it."""

    def __init__(self, workdir: Path, keep: int | None = None):
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep, enable_async_checkpointing=True, cleanup_tmp_directories=True
        )
        self._manager = ocp.CheckpointManager((workdir / CHECKPOINTS).absolute(), options=options)

    @property
    def latest(self) -> int | None:
        """Steps after which the newest complete checkpoint was taken; None where there is none."""
        return self._manager.latest_step()

    def save(self, step: int, state: TrainState, config: Experiment) -> None:
        """Saves the state after that many steps, which are also its place in the data: batches come in order of steps.

        Raises RuntimeError where the checkpoint was not saved.
        """
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            data=ocp.args.JsonSave({"batches_consumed": step}),
            config=ocp.args.JsonSave(to_dict(config)),
        )
        if not self._manager.save(step, args=items):
            raise RuntimeError(f"the checkpoint of step {step} was not saved in {self._manager.directory}")

    def restore(self, like: TrainState) -> tuple[TrainState, int]:
        """The newest checkpoint's state, with the shapes and shardings of `like`, and the batches that it has seen."""
        abstract: Any = jax.tree.map(ocp.tree.to_shape_dtype_struct, like)
        items = self._manager.restore(
            self.latest,
            args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract), data=ocp.args.JsonRestore()),
        )
        return items["state"], items["data"]["batches_consumed"]

    def close(self) -> None:
        """Waits for the save under way; raises what it raised."""
        self._manager.wait_until_finished()
        self._manager.close()
