"""Writes a network as ONNX by jax2onnx, for any batch size, and checks it with onnxruntime."""

import logging
from pathlib import Path
from typing import Any

from senet_jax.export.stablehlo import largest_difference, logits
from senet_jax.ops.plain import plain
from senet_jax.weights.source import Loaded


def write(file: Path, loaded: Loaded, *, normalise: bool) -> float:
    """Writes the network, images float32 (n, h, w, c) to logits (n, classes) for any n, and compares it with JAX.

    Returns the largest difference over the largest logit. Raises ValueError if it is above 1e-5, or if jax2onnx or
    onnxruntime cannot do an operation of the network, and leaves the file.
    """
    import jax2onnx  # pyright: ignore[reportMissingImports]  # In the extra `onnx`.
    import onnxruntime  # pyright: ignore[reportMissingImports]

    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # It warns of shapes without a type.
    images = loaded.preprocessing
    shape: Any = ("n", images.image_size, images.image_size, images.channels)
    network = logits(loaded, normalise=normalise)
    try:
        with plain():  # jax2onnx cannot write a padded window.
            model = jax2onnx.to_onnx(network, [shape], return_mode="proto")
        file.write_bytes(model.SerializeToString())  # jax2onnx itself would write large arrays into a second file.
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"this network cannot be written as ONNX: {error}; --format=stablehlo can") from error
    (given,) = session.get_inputs()
    try:
        return largest_difference(lambda x: session.run(None, {given.name: x})[0], loaded, normalise=normalise)
    except (RuntimeError, onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument) as error:
        raise ValueError(f"onnxruntime cannot run this network: {error}; --format=stablehlo can write it") from error
