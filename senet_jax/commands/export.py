"""`launch.py export`: writes a trained network as a file that other programs run."""

import dataclasses
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

from senet_jax.commands.places import check_new
from senet_jax.commands.request import File, Request, SourceOptions
from senet_jax.files import replaced
from senet_jax.terminal.tables import print_table
from senet_jax.workdir import RunError

_FORMATS = {
    "stablehlo": ("flatbuffers",),
    "onnx": ("jax2onnx", "onnxruntime"),
    "tflite": ("litert_converter", "ai_edge_litert"),
}
"""Packages that each format needs."""


@dataclass(frozen=True, kw_only=True)
class Options(SourceOptions):
    """Writes a trained network as a file for images of its size and any batch, and checks it against JAX."""

    format: Literal["stablehlo", "onnx", "tflite"]
    """Format of the file; stablehlo: for cpu, cuda and tpu in one file; tflite: for LiteRT."""
    output: File
    """Name of a new file."""
    normalise: bool = False
    """Whether the file normalises the images, and so takes pixels in [0, 255]."""


def prepare(request: Request) -> Callable[[], None]:
    """Loads the network. Raises ValueError or OSError if it, a package or the directory is missing or does not fit."""
    options = cast(Options, request.options)
    kind, output, normalise = options.format, options.output, options.normalise
    for package in _FORMATS[kind]:
        if importlib.util.find_spec(package) is None:
            where = ", into an environment without its [train]" if kind == "onnx" else ""
            raise ValueError(
                f"--format={kind} needs {package}, which is not installed: pip install '.[{kind}]' in the "
                f"checkout{where}"
            )
    check_new(output)
    loaded = options.load(options.weights)
    if kind != "stablehlo":  # Their programs have few operations for bfloat16.
        loaded = dataclasses.replace(loaded, network=loaded.network.clone(dtype="float32"))

    def run() -> None:
        import jax.numpy as jnp

        from senet_jax.terminal.progress import working

        try:
            with replaced(output) as temporary, working(f"writing {kind}"):
                write = importlib.import_module(f"senet_jax.export.{kind}").write
                difference = write(temporary, loaded, normalise=normalise)
        except ValueError as error:
            raise RunError(str(error)) from error
        print_table(
            {
                "network": f"{loaded.config.name}, {loaded.network.num_classes:,} classes",
                "source": loaded.source,
                "computes in": jnp.dtype(loaded.network.dtype).name,
                "images": _described(loaded.preprocessing, normalise),
                "difference": f"{difference:.1e} of the largest logit, against JAX, batches of 1 and 3",
                "written": f"{output}, {output.stat().st_size / 2**20:.1f} MiB",
            }
        )

    return run


def _described(images: Any, normalise: bool) -> str:
    pixels = "pixels in [0, 255]" if normalise else f"normalised by mean {images.mean}, std {images.std}"
    return f"float32 (n, {images.image_size}, {images.image_size}, {images.channels}), {pixels}"
