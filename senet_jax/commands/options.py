"""The commands and their flags. Each command is a file of this folder, by its name, with its `Options`."""

import dataclasses
import importlib
import inspect

from senet_jax.commands.request import CommandOptions
from senet_jax.schema import describe, documentation, field_types, required, words
from senet_jax.texts import placeholder, written

_NAMES = (
    "train",
    "eval",
    "analyze",
    "sweep",
    "plan",
    "report",
    "list",
    "networks",
    "cost",
    "predict",
    "export",
    "convert",
    "prepare",
    "bench",
)
COMMANDS: dict[str, type[CommandOptions]] = {
    name: importlib.import_module(f"senet_jax.commands.{name}").Options for name in _NAMES
}
CONFIGURED = [name for name, options in COMMANDS.items() if options.configured]


def meaning(command: str) -> str:
    """Returns the description of a command, the docstring of its options."""
    return " ".join((inspect.getdoc(COMMANDS[command]) or "").split())


def flags(command: str) -> dict[str, str]:
    """Returns the flags of a command, such as --depth=LEVELS, and the meaning of each, with its words and default."""
    options = COMMANDS[command]
    meanings, found = documentation(options), {}
    for field in dataclasses.fields(options):
        kind = field_types(options)[field.name]
        notes = [describe(kind).removesuffix(", or none")] if words(kind) and "|" not in placeholder(kind) else []
        if field.name in required(options):
            notes.append("required")
        elif field.default not in (None, ()):
            notes.append(f"default {written(field.default)}")
        note = f" ({'; '.join(notes)})" if notes else ""
        found[f"--{field.name}={placeholder(kind)}"] = meanings[field.name] + note
    return found
