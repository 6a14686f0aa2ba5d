"""`launch.py train`: trains an experiment, or continues the one in its workdir."""

import datetime
import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

from senet_jax import workdir as workdirs
from senet_jax.bounds import Count, CountOrZero, Name, Positive
from senet_jax.commands.request import CommandOptions, Parallelism, Request
from senet_jax.disks import check_renames, check_writable, space
from senet_jax.inherited import adopted, check_overrides
from senet_jax.schema import Placeholder
from senet_jax.terminal import program
from senet_jax.terminal.tables import accuracy_rows, print_table
from senet_jax.workdir import RunState


@dataclass(frozen=True, kw_only=True)
class Options(CommandOptions):
    """Trains an experiment, or continues the one in --workdir; the default command."""

    configured = True
    computes = True

    coordinator: Annotated[Name, Placeholder("HOST:PORT")] | None = None
    """Address of process 0, for several processes; TPU pods, SLURM and Open MPI tell it themselves."""
    num_processes: Count | None = None
    """Number of processes that train together."""
    process_id: CountOrZero | None = None
    """Number of this process, from 0."""
    start_timeout: Positive = 300.0
    """Seconds in which all processes must start."""
    heartbeat_timeout: Positive = 100.0
    """Seconds without a sign of life from a process, after which the others end."""
    parallelism: Parallelism = "jit"
    """How the step is divided over the devices: "jit" over a mesh of all, or "pmap"; with the same result."""


def prepare(request: Request) -> Callable[[], None]:
    """Validates everything, the quickest first. Raises ValueError if the run is impossible."""
    options = cast(Options, request.options)
    _check_processes(options)
    _check_workdir(request, several=(options.num_processes or 1) > 1)
    workdir = request.workdir or Path("runs") / request.name / f"{datetime.datetime.now():%Y-%m-%d_%H%M%S}"
    check_overrides(request.config, request.overrides)
    config = adopted(request.config, workdir)
    workdirs.check(workdir, config)
    if workdirs.state(workdir) is RunState.DONE:
        result = workdirs.read_result(workdir)
        return lambda: _say_finished(workdir, result)

    from senet_jax.training import logs, processes

    _join(options, workdir)
    _check_workdir(request, several=processes.several())
    _check_timeouts(options, joined=processes.joined())

    with processes.agreed():
        from senet_jax.runs.run import run as train
        from senet_jax.training.compilation import keep_programs
        from senet_jax.training.plan import open_plan
        from senet_jax.training.stopping import StoppedError
        from senet_jax.weights import runs

        if processes.is_first():
            check_writable(workdir, f"--workdir={workdir}")
            check_renames(workdir, f"--workdir={workdir}")
        plan = open_plan(config)
        dataset = plan.dataset
        runs.check_data(workdir, dataset.class_names, len(dataset.train), dataset.fingerprint)
        logs.read(workdir)  # A damaged log is refused before anything is compiled.
        if not workdirs.has_checkpoints(workdir):
            _ = plan.start  # Weights that do not fit are refused before anything is written.

    def say_stopped(how: str) -> None:
        if processes.is_first():
            print(f"\n{how}; {program.command_line('train', workdir)} goes on")

    def run() -> None:
        if (kept := keep_programs()) and processes.is_first():
            print(f"compiled programs are kept in {kept}; JAX_ENABLE_COMPILATION_CACHE=false keeps none")
        try:
            with processes.held_by_first(workdirs.locked(workdir)):
                train(plan, workdir, parallelism=options.parallelism)
        except KeyboardInterrupt:  # Before the first step.
            say_stopped("stopped")
            program.end_at_once(130)
        except StoppedError as stopped:
            say_stopped(str(stopped))
            sys.exit(stopped.status)
        except FloatingPointError as error:
            raise workdirs.RunError(str(error)) from error
        except OSError as error:
            where = "" if error.filename else f" in {workdir}, which {space(workdir)}"
            raise workdirs.RunError(f"{error}{where}; the existing checkpoints stay") from error

    return run


def _check_processes(options: Options) -> None:
    """Raises ValueError if the flags say in part how to find the other processes, or say something impossible."""
    flags = {name: getattr(options, name) for name in ("coordinator", "num_processes", "process_id")}
    missing = [f"--{name}" for name, value in flags.items() if value is None]
    if missing and len(missing) < len(flags):
        given = next(name for name, value in flags.items() if value is not None)
        raise ValueError(f"--{given} is given without {' and '.join(missing)}; all three are needed")
    if options.process_id is not None and options.process_id >= (number := options.num_processes or 1):
        raise ValueError(f"--process_id is {options.process_id}; of {number} processes it is 0 to {number - 1}")
    if options.coordinator is not None and not re.fullmatch(r".+:\d+", options.coordinator):
        raise ValueError(f"--coordinator is {options.coordinator!r}; it must be HOST:PORT, of process 0")


def _check_workdir(request: Request, *, several: bool) -> None:
    """Raises ValueError if several processes would make a workdir each."""
    if several and request.workdir is None:
        raise ValueError("several processes need --workdir=DIRECTORY, the same for all, on a shared file system")


def _check_timeouts(options: Options, *, joined: bool) -> None:
    """Raises ValueError for a time-out of a process that waits for no other."""
    for name in ("start_timeout", "heartbeat_timeout"):
        if not joined and getattr(options, name) != getattr(Options(), name):
            raise ValueError(
                f"--{name} is of several processes, and this is the only one; leave it out, or give --coordinator, "
                "--num_processes and --process_id"
            )


def _join(options: Options, workdir: Path) -> None:
    """Connects the processes. Raises BusyError if a run goes on, which joining would end."""
    from senet_jax.training import processes

    workdirs.check_free(workdir)
    processes.join(
        options.coordinator,
        options.num_processes,
        options.process_id,
        start_seconds=options.start_timeout,
        heartbeat_seconds=options.heartbeat_timeout,
    )


def _say_finished(workdir: Path, result: dict[str, Any]) -> None:
    print(f"this run has ended, and nothing was changed; its result is in {workdir / workdirs.RESULT}")
    print_table(
        accuracy_rows(result, result["classes"])
        | {
            "trained": f"{result['steps']:,} steps, finished {result['finished']}",
            "evaluate": program.command_line("eval", workdir),
            "more epochs": _more_epochs(workdir),
        }
    )


def _more_epochs(workdir: Path) -> str:
    """Returns the command line of a new run from the weights of this one, with a schedule of its own."""
    config = workdirs.read_config(workdir)
    words = ["--config=" + str(workdir / workdirs.CONFIG), f"--config.init.weights={workdir}"]
    words += ["--config.init.head=keep", *(["--noconfig.init.insert_se"] if config.init.insert_se else [])]
    words += [f"--config.seed={config.seed + 1}"]  # Other orders and crops than those of this run.
    words += [f"--config.duration={config.duration}", f"--workdir={workdir}-more"]
    return f"{program.command()} train {shlex.join(words)}"
