"""Writes a network as TFLite (LiteRT) by litert-converter, for any batch size; checks it with ai-edge-litert."""

from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from senet_jax.export.stablehlo import export_network, largest_difference
from senet_jax.weights.source import Loaded


def write(file: Path, loaded: Loaded, *, normalise: bool) -> float:
    """Writes the network, images float32 (n, h, w, c) to logits (n, classes) for any n, and compares it with JAX.

    Its signature "serving_default" has the names `images` and `logits`. Returns the largest difference over the largest
    logit. Raises ValueError if it is above 1e-5, or if litert-converter or ai-edge-litert cannot do an operation of the
    network, and leaves the file.
    """
    from ai_edge_litert.interpreter import Interpreter  # pyright: ignore[reportMissingImports]  # In the extra `tflite`.

    program = export_network(loaded, normalise=normalise, platforms=("cpu",)).mlir_module_serialized
    try:
        file.write_bytes(_converted(program))
        interpreter = Interpreter(str(file))
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"this network cannot be written as TFLite: {error}; --format=stablehlo can") from error

    def run(images: np.ndarray) -> np.ndarray:
        (given,), (found,) = interpreter.get_input_details(), interpreter.get_output_details()
        interpreter.resize_tensor_input(given["index"], images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(found["index"])

    try:
        return largest_difference(run, loaded, normalise=normalise)
    except RuntimeError as error:
        raise ValueError(f"LiteRT cannot run this network: {error}; --format=stablehlo can write it") from error


def _converted(program: bytes) -> bytes:
    """Converts a portable artifact of StableHLO. Raises ValueError if the converter's interface is not the known one.

    The interface is documented nowhere, so that `senet-jax[tflite]` has one minor version; each file is run besides.
    """
    try:
        from litert_converter import converter_api_ext as api  # pyright: ignore[reportMissingImports]
        from litert_converter.mlir import ir, passmanager  # pyright: ignore[reportMissingImports]
        from litert_converter.mlir.dialects import stablehlo  # pyright: ignore[reportMissingImports]

        context: Any = ir.Context()
        api.prepare_mlir_context(context)
        with context:
            module = stablehlo.deserialize_portable_artifact(context, program)
            api.set_signature(module.operation, "serving_default", ["images"], ["logits"])
            api.run_convert_to_tfl_passes(module, passmanager.PassManager(), api.ConvertToTFLConfig())
            return api.export_flatbuffer_to_bytes(module.operation)
    except (AttributeError, ImportError) as error:
        version = metadata.version("litert-converter")
        raise ValueError(f"litert-converter is {version}, and 0.5 is known ({error})") from error
