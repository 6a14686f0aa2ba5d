"""`launch.py list`: prints the networks and the experiments."""

import ast
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

from senet_jax.commands.config_files import EXPERIMENTS, shown
from senet_jax.commands.request import CommandOptions, Request
from senet_jax.terminal.tables import aligned


@dataclass(frozen=True, kw_only=True)
class Options(CommandOptions):
    """Prints the names of the networks, and the experiments."""


def prepare(request: Request) -> Callable[[], None]:
    """Returns the function that prints; it takes no flags."""
    del request
    return _run


def _run() -> None:
    from senet_jax import list_models

    print("networks (--config.model.name), most plain and with se_ before the name; cost --model=NAME counts one:")
    names = list_models()
    ours = [name for name in names if "/" not in name]
    print(_wrapped(["[se_]" + name if f"se_{name}" in ours else name for name in ours if not name.startswith("se_")]))
    print("\nthose of other projects, which differ in places:")
    print(_wrapped([name for name in names if name not in ours]))
    print("\nexperiments (--config):")
    files = sorted(EXPERIMENTS.rglob("*.py"))
    summaries = [
        (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0] for path in files
    ]
    rows = [[f"  {shown(path)}", summary] for path, summary in zip(files, summaries, strict=True)]
    print(*aligned(rows, left=(0, 1)), sep="\n")


def _wrapped(names: list[str]) -> str:
    return textwrap.fill(", ".join(names), 110, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
