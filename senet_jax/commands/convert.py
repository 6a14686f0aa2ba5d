"""`launch.py convert`: writes a trained network as a file of our own, or as a folder in timm's format."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

from senet_jax.bounds import Count
from senet_jax.commands.places import check_new
from senet_jax.commands.request import Request, SourceOptions
from senet_jax.schema import Placeholder
from senet_jax.terminal.tables import print_table


@dataclass(frozen=True, kw_only=True)
class Options(SourceOptions):
    """Writes a run's network, or other people's weights, as a file of our own or as a folder that timm loads.

    Our own file is of safetensors and names its network.
    """

    output: Annotated[Path, Placeholder("FILE.safetensors|FOLDER")]
    """Name of a new file, or of a new folder in timm's format."""
    num_classes: Count | None = None
    """Number of classes; if the weights have another, the last layer is initialised anew."""


def prepare(request: Request) -> Callable[[], None]:
    """Reads the weights. Raises ValueError or OSError if they do not fit, or if --output cannot be written."""
    options = cast(Options, request.options)
    output = options.output
    is_folder = not output.suffix
    if not is_folder and output.suffix != ".safetensors":
        raise ValueError(f"--output is {str(output)!r}; it must end in .safetensors, or in nothing for timm's folder")
    check_new(output)

    import jax

    from senet_jax.weights import save_weights, timm_folder

    pretrained = options.load(options.weights, num_classes=options.num_classes)
    if is_folder:
        timm_folder.check(pretrained.config)
    leaves = jax.tree.leaves(pretrained.variables)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(pretrained.variables["params"]))

    def run() -> None:
        if is_folder:
            timm_folder.write_folder(output, pretrained)
        else:
            save_weights(
                output,
                pretrained.variables,
                model=pretrained.config,
                preprocessing=pretrained.preprocessing,
                source=pretrained.source,
                class_names=pretrained.class_names,
            )
        print_table(
            {
                "network": f"{pretrained.config.name}, {pretrained.network.num_classes:,} classes",
                "weights": f"{len(leaves):,} tensors, {parameters:,} parameters",
                "images": str(pretrained.preprocessing),
                "source": pretrained.source,
                "written": str(output),
            }
        )

    return run
