"""`launch.py train`: trains an experiment, or continues the one in its workdir."""

import datetime
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from senet_jax import workdir as workdirs
from senet_jax.commands.request import CommandOptions, Request
from senet_jax.inherited import adopted, check_overrides
from senet_jax.terminal import program
from senet_jax.terminal.tables import accuracy_rows, print_table
from senet_jax.workdir import RunState


@dataclass(frozen=True, kw_only=True)
class Options(CommandOptions):
    """Trains an experiment, or continues the one in --workdir; the default command."""

    configured = True


def prepare(request: Request) -> Callable[[], None]:
    """Validates everything, the quickest first. Raises ValueError if the run is impossible."""
    workdir = request.workdir or Path("runs") / request.name / f"{datetime.datetime.now():%Y-%m-%d_%H%M%S}"
    check_overrides(request.config, request.overrides)
    config = adopted(request.config, workdir)
    workdirs.check(workdir, config)
    if workdirs.state(workdir) is RunState.DONE:
        return lambda: _say_finished(workdir)

    from senet_jax.runs.run import run as train
    from senet_jax.training.compilation import keep_programs
    from senet_jax.training.plan import open_plan
    from senet_jax.training.stopping import StoppedError
    from senet_jax.weights import runs

    plan = open_plan(config)
    dataset = plan.dataset
    runs.check_data(workdir, dataset.class_names, len(dataset.train), dataset.fingerprint)
    if workdirs.state(workdir) is RunState.NEW:
        plan.start  # noqa: B018  # Weights that do not fit are refused before anything is written.
    workdirs.make_writable(workdir)

    def run() -> None:
        if kept := keep_programs():
            print(f"compiled programs are kept in {kept}; JAX_ENABLE_COMPILATION_CACHE=false keeps none")
        try:
            with workdirs.locked(workdir):
                train(plan, workdir)
        except (KeyboardInterrupt, StoppedError) as stopped:  # The former before the first step.
            said, status = (str(stopped), stopped.status) if isinstance(stopped, StoppedError) else ("stopped", 130)
            print(f"\n{said}; {program.command_line('train', workdir)} goes on")
            sys.exit(status)
        except (FloatingPointError, workdirs.RunError) as error:
            sys.exit(f"{program.name()}: error: {error}")
        except OSError as error:
            where = "" if error.filename else f" in {workdir}, which {workdirs.space(workdir)}"
            sys.exit(f"{program.name()}: error: {error}{where}; the existing checkpoints stay")

    return run


def _say_finished(workdir: Path) -> None:
    result = workdirs.read_result(workdir)
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
    words += [f"--config.duration={config.duration}", f"--workdir={workdir}-more"]
    return f"{program.command()} train {shlex.join(words)}"
