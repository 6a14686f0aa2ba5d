"""Evaluations of a run: every test example is counted once; the variables of the best one kept."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
from flax import linen as nn
from jax.sharding import Mesh

from senet_jax import allocator
from senet_jax.config import Experiment
from senet_jax.data import Dataset
from senet_jax.data.bad_images import BadImages
from senet_jax.training import logs, memory, metrics, parallel, processes
from senet_jax.training.logs import Logs, NoLogs
from senet_jax.training.plan import Plan
from senet_jax.training.state import TrainState
from senet_jax.training.step import make_eval_step
from senet_jax.training.stopping import Stop
from senet_jax.training.watchdog import watched
from senet_jax.weights import runs
from senet_jax.weights.load import save_weights
from senet_jax.workdir import BEST


class Evaluations:
    """The evaluations of a run, logged; results of earlier processes are read from its log."""

    def __init__(self, plan: Plan, workdir: Path, log: Logs | NoLogs, mesh: Mesh, bad: BadImages):
        """Prepares them; images that cannot be read are noted in `bad`."""
        self._plan, self._workdir, self._log = plan, workdir, log
        self._evaluate = make_evaluate(plan.model, plan.dataset, plan.config, mesh, bad)
        self._records = {record["step"]: record for record in logs.read(workdir) if record["split"] == "test"}
        self._best = max(map(self._merit, self._records.values()), default=-math.inf)
        self._results: dict[str, float] = {}

    def missed(self, step: int) -> bool:
        """Whether the run was stopped in the evaluation after a step; of several processes, the first one says it."""
        due = step > 0 and self._plan.is_due(step, self._plan.eval_every)
        return processes.told("yes" * (due and step not in self._records)) == "yes"

    def run(self, step: int, state: TrainState, stop: Stop) -> None:
        """Evaluates, unless a signal stops the run meanwhile; several processes end the evaluation first."""
        self._results = self._evaluate(state.evaluated, None if stop.together else stop)
        if not self._results:
            return
        if (merit := self._merit(self._results)) > self._best and processes.is_first():
            self._best = merit
            _save_best(self._plan, state, step, self._results, self._workdir)
        self._log.write("test", step, self._results)
        allocator.trim()  # The first one was compiled, and its batches can be larger than those of training.

    def _merit(self, record: Mapping[str, Any]) -> float:
        """Returns the figure of an evaluation that is higher in a better one; NaN is the worst."""
        name = self._plan.config.best_by
        merit = -record[name] if name == "loss" else record[name]
        return -math.inf if math.isnan(merit) else merit

    def last(self, state: TrainState) -> dict[str, float]:
        """Returns the metrics of the final state, which are computed only if this process does not have them."""
        return self._results or self._evaluate(state.evaluated)


def make_evaluate(
    model: nn.Module,
    dataset: Dataset,
    config: Experiment,
    mesh: Mesh,
    bad: BadImages | None = None,
) -> Callable[..., dict[str, float]]:
    """Makes variables -> loss, accuracy and top-5 accuracy on every test example, each counted once.

    Images that cannot be read are left out and noted in `bad`; "bad_images" is their number, if there are any.
    With a `Stop` for its second argument the evaluation returns {} if it is told to stop.
    """
    eval_step = jax.jit(make_eval_step(model, config), out_shardings=parallel.replicated(mesh))

    def evaluate(variables: dict[str, Any], stop: Stop | None = None) -> dict[str, float]:
        sums, batch = [], None
        with watched(config.stuck_after) as gets_on:
            batches, _ = parallel.evaluated(dataset.test, config, mesh, bad)
            for batch in batches:
                if stop is not None and stop.signum is not None:
                    return {}
                with memory.explained(config, eval_step, (variables, batch), evaluates=True):
                    sums.append(eval_step(variables, batch))
                    jax.block_until_ready(sums[-2:-1])  # One step is under way while the next batch is read.
                gets_on()
            with memory.explained(config, eval_step, (variables, batch), evaluates=True):  # Ends the last step.
                left_out = len(dataset.test) - sum(int(part["count"]) for part in sums)
                return metrics.means(sums) | ({"bad_images": left_out} if left_out else {})

    return evaluate


def _save_best(plan: Plan, state: TrainState, step: int, results: dict[str, float], workdir: Path) -> None:
    """Writes the variables of the best evaluation so far."""
    config, dataset = plan.config, plan.dataset
    best_by = config.best_by.replace("top5_", "top-5 ")
    figure = f"{results[config.best_by]:{'.4f' if config.best_by == 'loss' else '.2%'}}"
    save_weights(
        workdir / BEST,
        jax.device_get(state.evaluated),
        model=config.model,
        preprocessing=runs.preprocessing(config, dataset.channels),
        source=f"{runs.called(workdir)}, step {step} of {plan.total_steps}, best test {best_by} {figure}",
        class_names=dataset.class_names,
    )
