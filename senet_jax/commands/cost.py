"""`launch.py cost`: prints parameters and operations of a network by stages, and squeeze-and-excitation's share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, cast

from senet_jax.bounds import Count, CountOrZero, Positive
from senet_jax.commands.request import CommandOptions, Network, Request
from senet_jax.schema import Placeholder


@dataclass(frozen=True, kw_only=True)
class Options(CommandOptions):
    """Prints parameters and multiply-adds of a network, and squeeze-and-excitation's share of them.

    The network is that of --model, of --config, or of the run in --workdir.
    """

    configured = True
    reads_run = True

    model: Network | None = None
    """Network to count, instead of that of a configuration; `list` prints the names."""
    image_size: Annotated[Count, Placeholder("PIXELS")] | None = None
    """Height and width of the image; none: that of the configuration, or of the network's own dataset."""
    num_classes: CountOrZero | None = None
    """Width of the logits, 0 for the pooled features; none: that of the dataset."""
    ratio: Positive | None = None
    """Reduction ratio of the network of --model; none: its own."""
    depth: Annotated[Count, Placeholder("LEVELS")] = 1
    """Levels of modules to print: 2 for a line each block, 3 for each layer."""


def prepare(request: Request) -> Callable[[], None]:
    """Raises ValueError if the network does not exist, with these classes and this ratio, or is given twice."""
    options = cast(Options, request.options)
    if options.model is not None and (request.is_configured or request.workdir is not None):
        raise ValueError("cost takes one network: give either --model, or --config and --config.FIELD, or --workdir")
    if options.model is None and options.ratio is not None:
        raise ValueError(f"--ratio is for --model; give --config.model.ratio={options.ratio:g}")

    from senet_jax import create_model
    from senet_jax.analysis.cost import cost
    from senet_jax.analysis.cost_table import cost_table
    from senet_jax.models import default_input
    from senet_jax.terminal.progress import working
    from senet_jax.training.starting import settled
    from senet_jax.weights.configured import build_model
    from senet_jax.weights.runs import classes_and_channels

    if options.model is not None:
        name, channels, size = options.model, 3, options.image_size or default_input(options.model)[1]
        model = create_model(name, options.num_classes, ratio=options.ratio)
    else:
        try:
            config = request.config if options.image_size else settled(request.config)
        except (ValueError, OSError) as error:
            raise type(error)(f"{error}; --image_size=PIXELS counts without them") from error
        classes, channels = classes_and_channels(config.data, request.workdir)
        classes = classes if options.num_classes is None else options.num_classes
        name, size = config.model.name, options.image_size or config.data.image_size
        model = build_model(config.model, classes)

    with working("counting"):
        counted = cost(model, size, channels=channels)

    def run() -> None:
        grey = ", grey" if channels == 1 else ""
        print(f"{name}, images of {size} x {size} pixels{grey}\n")
        print(cost_table(counted, options.depth))

    return run
