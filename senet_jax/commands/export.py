"""`launch.py export`: writes a trained network as a file that other programs run."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

from senet_jax.commands.command_line import Request
from senet_jax.commands.places import check_new, load_source
from senet_jax.files import replaced
from senet_jax.terminal.tables import print_table
from senet_jax.weights.source import Loaded

_FORMATS = {"stablehlo": ("flatbuffers",), "onnx": ("jax2onnx", "onnxruntime")}
"""The formats, and the packages that each needs."""


def prepare(request: Request) -> Callable[[], None]:
    """Loads the network. Raises ValueError or OSError for what does not fit, is not installed or has no place to go."""
    options = request.options
    kind, output, normalise = options["format"], options["output"], options.get("normalise", False)
    if kind not in _FORMATS:
        raise ValueError(f"--format is {kind!r}; it must be one of {', '.join(_FORMATS)}")
    for package in _FORMATS[kind]:
        if importlib.util.find_spec(package) is None:
            raise ValueError(f"--format={kind} needs {package}, which is not installed: pip install {package}")
    check_new(output)
    loaded = load_source(options)

    def run() -> None:
        try:
            with replaced(output) as temporary:
                difference = _write(temporary, kind, loaded, normalise)
        except ValueError as error:
            raise SystemExit(f"error: {error}") from error
        print_table(
            {
                "network": f"{loaded.config.name}, {loaded.network.num_classes:,} classes",
                "source": loaded.source,
                "images": _described(loaded, normalise),
                "difference": f"{difference:.1e} of the largest logit, against JAX, batches of 1 and 3",
                "written": f"{output}, {output.stat().st_size / 2**20:.1f} MiB",
            }
        )

    return run


def _write(file: Path, kind: str, loaded: Loaded, normalise: bool) -> float:
    """Writes the file and returns how far its logits are from the network's."""
    if kind == "onnx":
        from senet_jax.export.onnx import write_onnx

        return write_onnx(file, loaded, normalise=normalise)
    from senet_jax.export.stablehlo import write_stablehlo

    return write_stablehlo(file, loaded, normalise=normalise)


def _described(loaded: Loaded, normalise: bool) -> str:
    images = loaded.preprocessing
    pixels = "pixels in [0, 255]" if normalise else f"normalised by mean {images.mean}, std {images.std}"
    return f"float32 (n, {images.image_size}, {images.image_size}, {images.channels}), {pixels}"
