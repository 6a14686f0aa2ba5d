"""`launch.py convert`: writes a trained network as a file of our own, or as a folder in timm's format."""

from collections.abc import Callable
from typing import Any

import jax

from senet_jax import load
from senet_jax.commands.command_line import Request
from senet_jax.commands.places import check_new
from senet_jax.terminal.tables import print_table
from senet_jax.weights import save_weights, timm_folder


def prepare(request: Request) -> Callable[[], None]:
    """Reads the weights. Raises ValueError or OSError where they do not fit, or have no place to go."""
    options = request.options
    output = options["output"]
    is_folder = not output.suffix
    if not is_folder and output.suffix != ".safetensors":
        raise ValueError(f"--output is {str(output)!r}; it must end in .safetensors, or in nothing for timm's folder")
    check_new(output)
    pretrained = load(options["weights"], model=options.get("model"), num_classes=options.get("num_classes"))
    if is_folder:
        timm_folder.check(pretrained.config)
    leaves = jax.tree.leaves(pretrained.variables)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(pretrained.variables["params"]))

    def run() -> None:
        described: dict[str, Any] = {
            "preprocessing": pretrained.preprocessing,
            "class_names": pretrained.class_names,
        }
        if is_folder:
            timm_folder.write_folder(
                output, pretrained.network, pretrained.variables, config=pretrained.config, **described
            )
        else:
            save_weights(output, pretrained.variables, model=pretrained.config, source=pretrained.source, **described)
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
