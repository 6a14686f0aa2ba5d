"""Export of trained networks to files that other programs run."""

from collections.abc import Callable


def writer(form: str) -> Callable[..., float]:
    """Returns the function of (file, loaded, normalise=...) that writes "stablehlo", "onnx" or "tflite".

    It returns the largest difference to JAX over the largest logit.
    """
    if form == "onnx":
        from senet_jax.export.onnx import write_onnx

        return write_onnx
    if form == "tflite":
        from senet_jax.export.tflite import write_tflite

        return write_tflite
    from senet_jax.export.stablehlo import write_stablehlo

    return write_stablehlo
