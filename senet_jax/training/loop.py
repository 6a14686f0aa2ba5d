"""The loop: steps, log lines, evaluations and checkpoints, in an order that a restart repeats exactly."""

import dataclasses
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from senet_jax import allocator
from senet_jax.config import Experiment
from senet_jax.data import train_batches
from senet_jax.data.bad_images import BadImages
from senet_jax.terminal.progress import working
from senet_jax.training import bad_steps, logs, memory, metrics, parallel, processes
from senet_jax.training.checkpoints import Checkpoints
from senet_jax.training.evaluation import Evaluations
from senet_jax.training.logs import Logs, NoLogs
from senet_jax.training.parts import split
from senet_jax.training.plan import Plan, initial
from senet_jax.training.speed import Speed
from senet_jax.training.state import TrainState
from senet_jax.training.step import Batch
from senet_jax.training.stopping import StoppedError, ended_at_once, stop_on_signals
from senet_jax.training.watchdog import watched
from senet_jax.typing import Array
from senet_jax.weights import manifests
from senet_jax.weights.manifests import UnusableError
from senet_jax.workdir import BAD_IMAGES, write_init

_PATIENCE = 30.0
"""Seconds without progress before one of several processes prints its place."""


def train(plan: Plan, workdir: Path, parallelism: str = "jit") -> dict[str, float]:
    """Trains to the end, from the newest checkpoint if the workdir has one; `parallelism`: "jit" or "pmap".

    Returns the test metrics at the end, images_per_second and seconds of the logged steps of all its processes, and
    compile_seconds of this one, its first step included.
    Raises FloatingPointError if more steps than config.optimizer.bad_steps had a loss or a gradient that was not
    finite, or if a parameter is not finite when it is saved; the newest checkpoint is then from before, or without the
    updates of such steps. Raises SaveError if a checkpoint cannot be saved; older ones stay. Raises OutOfMemoryError if
    a device has too little memory. Raises StoppedError after SIGTERM or SIGINT, once the state of the current step is
    saved.
    """
    config, mesh = plan.config, parallel.data_mesh()
    with processes.none_outlives():
        checkpoints = Checkpoints(workdir, config.keep_checkpoints, config.stuck_after)
        with working("making the initial state"):
            state, start = initial_state(plan, checkpoints, mesh)
    with processes.agreed():
        _check_numbers(plan, state, checkpoints)
        steps = range(start + 1, plan.total_steps + 1)
        checkpoints.check_space(state, saves=sum(plan.is_due(step, plan.checkpoint_every) for step in steps))
        train_step, last_step = (
            parallel.STEPS[parallelism](plan.train_step(frozen_statistics=frozen), mesh) for frozen in (False, True)
        )
        log = _open_logs(plan, workdir, start)
        bad = BadImages(config.data.bad_images, workdir / BAD_IMAGES, log.say, jax.process_index())
        evaluations, speed = Evaluations(plan, workdir, log, mesh, bad), Speed(log)
        _begin(plan, start, log, workdir, bad)

    with (
        closing(checkpoints),
        closing(log),
        closing(speed),
        closing(processes.Place(_PATIENCE)) as place,
        stop_on_signals(together=processes.several()) as stop,
        processes.none_outlives(),
    ):
        batches = _batches(plan, start, mesh, bad)
        if evaluations.missed(start):
            evaluations.run(start, state, stop)
            if stop.signum is not None and not stop.together:  # The next process makes up for it.
                raise StoppedError(stop.signum, start)
        for step in steps:
            periods = plan.log_every, plan.eval_every, plan.checkpoint_every
            record, tests, save = (plan.is_due(step, every) for every in periods)
            first = step == start + 1
            if step > plan.freeze_statistics_at:
                train_step = last_step
            compiles = first or step == plan.freeze_statistics_at + 1
            place(f"step {step} of {plan.total_steps}" + ", which is compiled first" * compiles)
            at_once = ended_at_once(start) if first and not stop.together else nullcontext()
            with at_once, watched(config.stuck_after), speed.measure(config.batch_size, compiles=compiles):
                wait = record or tests or save or compiles
                state = _advance(train_step, state, batches, config, speed, compiles=compiles, wait=wait)
            log.advance()
            if record or tests:
                _check_numbers(plan, state, checkpoints)
            if record:
                _log_training(plan, state, step, log, speed)
                state = _after_record(state, mesh)
            if tests:
                place(f"the evaluation after step {step}")
                evaluations.run(step, state, stop)
            stops = stop.after(step)
            if save or stops:
                place(f"the checkpoint of step {step}")
                _check_numbers(plan, state, checkpoints)
                _check_parameters(state, checkpoints)
                checkpoints.save(step, state, config)
            if stops:
                raise StoppedError(stop.signum or signal.SIGTERM, step)
        results = evaluations.last(state)
    return results | logs.speed(workdir) | {"compile_seconds": speed.compile_seconds}


def _advance(
    train_step: Callable[..., TrainState],
    state: TrainState,
    batches: Iterator[Batch],
    config: Experiment,
    speed: Speed,
    *,
    compiles: bool,
    wait: bool,
) -> TrainState:
    """Returns the state after one more step, which may still be under way unless `wait` is true."""
    arguments = state, speed.next(batches), config.seed, config.optimizer.learning_rate
    with memory.explained(config, train_step, arguments):
        if compiles and isinstance(train_step, jax.stages.Wrapped):
            train_step.lower(*arguments).compile()  # The call below finds the program.
            allocator.trim()
        state = train_step(*arguments)
        speed.dispatched(state.step)
        return jax.block_until_ready(state) if wait else state


def _batches(plan: Plan, start: int, mesh: Mesh, bad: BadImages) -> Iterator[Batch]:
    """Yields this process's part of the training batches after `start` steps, on the devices."""
    batches = train_batches(
        plan.dataset.train,
        plan.config.data,
        batch_size=plan.config.batch_size,
        seed=plan.config.seed,
        start=start,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        bad=bad,
    )
    return parallel.to_devices(batches, mesh)


def _open_logs(plan: Plan, workdir: Path, start: int) -> Logs | NoLogs:
    if not processes.is_first():
        return NoLogs()
    return Logs(workdir, start=start, total=plan.total_steps, steps_per_epoch=plan.steps_per_epoch)


def _begin(plan: Plan, start: int, log: Logs | NoLogs, workdir: Path, bad: BadImages) -> None:
    bad.forget_repaired(plan.dataset.train, plan.dataset.test)
    if start:
        log.say(f"goes on after step {start} of {plan.total_steps}")
    elif plan.start is not None and processes.is_first():
        write_init(workdir, plan.start.source)
        log.say(f"starts from {plan.start.source}")
        log.say(plan.start.images)


def initial_state(plan: Plan, checkpoints: Checkpoints, mesh: Mesh) -> tuple[TrainState, int]:
    """Returns the newest or the initial state, on all devices, and the number of batches that it has seen."""
    config, init = plan.config, jax.jit(partial(initial, plan), out_shardings=parallel.replicated(mesh))
    seen = str(checkpoints.steps)
    first_sees = processes.told(seen)
    with processes.agreed():
        if seen != first_sees:
            raise UnusableError(
                f"the processes do not see the same checkpoints: those of steps {seen}, and in process 0 {first_sees}; "
                "--workdir must be on a file system that all hosts share"
            )
    if checkpoints.latest is None:
        variables = None if plan.start is None else jax.device_get(plan.start.variables)
        return init(config.seed, variables), 0
    return checkpoints.restore(init.eval_shape(config.seed), config)


def _log_training(plan: Plan, state: TrainState, step: int, log: Logs | NoLogs, speed: Speed) -> None:
    """Logs what was summed up since the last time, and tells of bad steps."""
    bad = int(state.bad["count"])
    if int(state.bad["step"]):
        trained, _ = split(state.variables["params"], plan.frozen)
        log.say(f"{bad_steps.described(state.bad, trained)}; it was left out, {bad} in all")
    if int(state.sums["count"]):  # Else every step was bad.
        values = metrics.means([state.sums]) | {"learning_rate": plan.learning_rate(step - 1)}
        log.write("train", step, values | ({"bad_steps": bad} if bad else {}) | speed.take())


def _after_record(state: TrainState, mesh: Mesh) -> TrainState:
    """Returns the state after a log line: with empty sums, and without a bad step to tell."""
    make = jax.jit(_nothing, out_shardings=parallel.replicated(mesh))
    sums, step = make()  # `jax.device_put` makes arrays for several processes that Orbax cannot save.
    return dataclasses.replace(state, sums=sums, bad=state.bad | {"step": step})


def _nothing() -> tuple[metrics.Sums, Array]:
    return metrics.zeros(), jnp.zeros((), jnp.int32)


def _check_numbers(plan: Plan, state: TrainState, checkpoints: Checkpoints) -> None:
    """Raises FloatingPointError if more steps were bad than the configuration allows."""
    count, allowed = int(state.bad["count"]), plan.config.optimizer.bad_steps
    if count > allowed:
        if not int(state.bad["step"]):
            raise FloatingPointError(
                f"the run has left out {count} bad steps until its checkpoint of step {checkpoints.latest}, more than "
                f"config.optimizer.bad_steps, {allowed}; give at least {count} to go on"
            )
        raise FloatingPointError(
            f"{bad_steps.described(state.bad, split(state.variables['params'], plan.frozen)[0])}; "
            f"{_newest(checkpoints)}; {count} bad steps are more than config.optimizer.bad_steps, {allowed}: allow "
            "more, or try a smaller config.optimizer.learning_rate, a longer config.optimizer.warmup or "
            "config.optimizer.clip_norm"
        )


def _check_parameters(state: TrainState, checkpoints: Checkpoints) -> None:
    """Raises FloatingPointError if a parameter is not finite, which an optimizer can make of finite gradients."""
    parameters = manifests.leaves(jax.device_get(state.variables["params"]))
    if wrong := [name for name, leaf in parameters if not np.isfinite(leaf).all()]:
        raise FloatingPointError(
            f"after step {int(state.step)} parameters are not finite, although each loss and gradient was: "
            f"{', '.join(wrong[:3])}; {_newest(checkpoints)}; try a smaller config.optimizer.learning_rate, or other "
            "config.optimizer.arguments"
        )


def _newest(checkpoints: Checkpoints) -> str:
    saved = checkpoints.latest
    return "there is no checkpoint" if saved is None else f"the newest checkpoint, of step {saved}, is good"
