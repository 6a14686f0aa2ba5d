"""`launch.py readme`: writes the tables of README.md and docs/ from the CSV files in experiments/results/."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from senet_jax.commands.request import CommandOptions, Request
from senet_jax.terminal import program


@dataclass(frozen=True, kw_only=True)
class Options(CommandOptions):
    """Writes the tables of README.md and docs/ from experiments/results, in a checkout of the repository."""

    check: bool = False
    """Writes nothing, and exits with status 1 if a table differs."""


def prepare(request: Request) -> Callable[[], None]:
    """Makes the tables. Raises ValueError outside a checkout of the repository."""
    from senet_jax.analysis import readme

    if not readme.RESULTS.is_dir():
        raise ValueError(f"readme needs a checkout of the repository; {readme.RESULTS} does not exist")
    tables = readme.tables()
    texts = {path: path.read_text() for path in readme.pages()}
    stale = {path: new for path, text in texts.items() if (new := readme.filled(text, tables)) != text}

    def check() -> None:
        if stale:
            names = ", ".join(str(path.relative_to(readme.ROOT)) for path in stale)
            sys.exit(
                f"{program.name()}: error: tables differ from experiments/results in {names}; run launch.py readme"
            )

    def write() -> None:
        for path, text in stale.items():
            path.write_text(text)
            print(f"written: {path.relative_to(readme.ROOT)}")

    return check if cast(Options, request.options).check else write
