"""`launch.py --help`: the commands, the flags and every field of a configuration."""

import textwrap
from collections.abc import Callable

from senet_jax.commands.config_files import shown
from senet_jax.commands.options import COMMANDS, flags, meaning
from senet_jax.commands.request import Request
from senet_jax.config import Experiment
from senet_jax.schema import describe, documentation, field_types, flatten
from senet_jax.terminal import program
from senet_jax.texts import written

_USAGE = f"[{'|'.join(COMMANDS)}] [--config=FILE] [--config.FIELD=VALUE ...] [--workdir=DIRECTORY]"
_FLAGS = {
    "--config=FILE": "Python file whose get_config() returns an Experiment; FILE:ARGUMENT calls get_config(ARGUMENT) "
    "(default experiments/digits.py).",
    "--config.FIELD=VALUE": "Overrides a field, as in --config.model.ratio=8 (or =none), "
    "--config.data.mean=0.5,0.4,0.3, --config.data.flip and --noconfig.data.flip.",
    "--workdir=DIRECTORY": "Directory of a run: configuration, checkpoints, logs, results.",
    "--help": "Prints this help, with the fields of --config if it is given.",
}


def prepare(request: Request) -> Callable[[], None]:
    """Returns the function that prints the help."""
    return lambda: print(_text(request))


def _text(request: Request) -> str:
    kinds, meanings = field_types(Experiment), documentation(Experiment)
    fields = {
        f"{name}={written(value)}": f"{meanings[name]} ({describe(kinds[name])})"
        for name, value in flatten(request.config).items()
    }
    origin = f" of {shown(request.config_path)}" if request.config_path else ""
    sections = {"commands": {f"{name} {kind.words}".strip(): meaning(name) for name, kind in COMMANDS.items()}}
    sections |= {"flags": _FLAGS}
    sections |= {f"flags of {name}": flags(name) for name in COMMANDS if flags(name)}
    sections[f"fields, with the values{origin}"] = fields
    return "\n\n".join(
        [
            f"usage: {program.name()} {_USAGE}",
            *(f"{title}:\n{_entries(entries)}" for title, entries in sections.items()),
        ]
    )


def _entries(entries: dict[str, str]) -> str:
    return "\n".join(
        textwrap.fill(text, 110, initial_indent=f"  {name:<32}  ", subsequent_indent=" " * 36)
        for name, text in entries.items()
    )
