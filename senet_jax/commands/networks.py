"""`launch.py networks`: what was published about the networks beside what is counted here, as Markdown tables."""

import csv
from collections.abc import Callable
from pathlib import Path

from senet_jax.analysis.cost import cost
from senet_jax.analysis.parameters import count_statistics
from senet_jax.analysis.published import ABLATIONS, NETWORKS, TITLES, Published, networks_table
from senet_jax.commands.command_line import Request
from senet_jax.commands.places import check_directory
from senet_jax.config import ModelConfig
from senet_jax.models import default_input
from senet_jax.terminal.progress import progress
from senet_jax.weights.configured import build_model


def prepare(request: Request) -> Callable[[], None]:
    """Nothing can be wrong with it but --output's directory, which raises ValueError."""
    output: Path | None = request.options.get("output")
    if output is not None:
        check_directory(output)

    def run() -> None:
        published = (*NETWORKS, *ABLATIONS)
        rows = [_row(network) for network in progress(published, len(published), "counting", "networks")]
        if output is not None:
            with output.open("w", newline="") as file:
                writer = csv.DictWriter(file, TITLES, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
        print(networks_table(rows))

    return run


def _row(published: Published) -> dict[str, str]:
    classes, size = default_input(published.model)
    model = build_model(ModelConfig(published.model, **published.fields), classes)
    counted = cost(model, size).total
    words = [f"{name}={value}" for name, value in published.fields.items() if name != "use_bias"]
    return {
        "network": ", ".join([published.model, *words]),
        "parameters": f"{counted.parameters:,}",
        "statistics": f"{count_statistics(model, size):,}",
        "gflops": f"{counted.multiply_adds / 1e9:.4f}",
        "paper_parameters": published.parameters,
        "paper_gflops": published.gflops,
        "paper_error": published.error,
        "table": published.table,
        "weights": published.weights,
    }
