"""`launch.py networks`: published figures of the networks beside our counts, as a Markdown table."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

from senet_jax.commands.places import check_output_file
from senet_jax.commands.request import CommandOptions, Request
from senet_jax.files import write_table
from senet_jax.schema import Placeholder


@dataclass(frozen=True, kw_only=True)
class Options(CommandOptions):
    """Prints a Markdown table of published figures of the networks beside our counts."""

    output: Annotated[Path, Placeholder("FILE.csv")] | None = None
    """File for the table as CSV."""


def prepare(request: Request) -> Callable[[], None]:
    """Raises ValueError if the directory of --output does not exist."""
    output = cast(Options, request.options).output
    if output is not None:
        check_output_file(output)

    def run() -> None:
        from senet_jax.analysis.published import ABLATIONS, NETWORKS, counted, networks_table
        from senet_jax.terminal.progress import progress

        published = (*NETWORKS, *ABLATIONS)
        rows = [counted(network) for network in progress(published, len(published), "counting", "networks")]
        if output is not None:
            write_table(output, rows)
        print(networks_table(rows))

    return run
