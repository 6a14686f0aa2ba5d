"""`launch.py cost`: prints what a network costs, stage by stage, and what of it is squeeze-and-excitation's."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, cast

from senet_jax.commands.request import CommandOptions, Network, Request
from senet_jax.config import Count, CountOrZero, Positive
from senet_jax.schema import Placeholder


@dataclass(frozen=True, kw_only=True)
class Options(CommandOptions):
    """Prints parameters and multiply-adds of a network, and squeeze-and-excitation's share of them."""

    model: Network
    """Network to count; `list` prints the names."""
    image_size: Annotated[Count, Placeholder("PIXELS")] | None = None
    """Height and width of the image; None: its dataset's."""
    num_classes: CountOrZero | None = None
    """Width of the logits, 0 for the pooled features; None: its dataset's."""
    ratio: Positive | None = None
    """Reduction ratio of squeeze-and-excitation; None: the network's own."""
    depth: Annotated[Count, Placeholder("LEVELS")] = 1
    """Levels of modules to print: 2 for a line each block, 3 for each layer."""


def prepare(request: Request) -> Callable[[], None]:
    """Raises ValueError if the network does not exist, with these classes and this ratio."""
    from senet_jax import create_model
    from senet_jax.analysis.cost import cost
    from senet_jax.analysis.cost_table import cost_table
    from senet_jax.models import default_input

    options = cast(Options, request.options)
    model = create_model(options.model, options.num_classes, ratio=options.ratio)
    size = options.image_size or default_input(options.model)[1]

    def run() -> None:
        print(f"{options.model}, images of {size} x {size} pixels\n")
        print(cost_table(cost(model, size), options.depth))

    return run
