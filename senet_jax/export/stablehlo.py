"""Writes a network as StableHLO by `jax.export`: any batch size; CPUs, GPUs and TPUs; read with jax alone."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from senet_jax.modules.conv import with_xla_convolutions
from senet_jax.weights.source import Loaded

PLATFORMS = ("cpu", "cuda", "tpu")
_BATCHES = (1, 3)
_TOLERANCE = 1e-5


def export_network(loaded: Loaded, *, normalise: bool, platforms: tuple[str, ...] = PLATFORMS) -> export.Exported:
    """Exports the network, images float32 (n, h, w, c) of the size of its preprocessing to logits, for any n.

    With `normalise` the images are pixels in [0, 255]; otherwise they are normalised before.
    """
    images, size = loaded.preprocessing, loaded.preprocessing.image_size
    (batch,) = export.symbolic_shape("n")
    shape = jax.ShapeDtypeStruct((batch, size, size, images.channels), jnp.float32)
    return export.export(jax.jit(logits(loaded, normalise=normalise)), platforms=platforms)(shape)


def logits(loaded: Loaded, *, normalise: bool) -> Any:
    """Makes images (n, h, w, c) -> logits (n, classes) with XLA's convolutions; `normalise`: images are pixels."""
    network = with_xla_convolutions(loaded.network)

    def apply(images: jax.Array) -> Any:
        images = loaded.preprocessing.normalise(images) if normalise else images
        return network.apply(loaded.variables, images, train=False)

    return apply


def write(file: Path, loaded: Loaded, *, normalise: bool) -> float:
    """Writes the network, reads the file back, and compares it with JAX: `jax.export.deserialize(data).call(images)`.

    Returns the largest difference over the largest logit. Raises ValueError if it is above 1e-5, and leaves the file.
    """
    file.write_bytes(export_network(loaded, normalise=normalise).serialize())
    run = export.deserialize(bytearray(file.read_bytes())).call
    return largest_difference(lambda images: np.asarray(run(images)), loaded, normalise=normalise)


def largest_difference(run: Any, loaded: Loaded, *, normalise: bool) -> float:
    """Returns the largest difference between the logits of `run` and of the network, over the largest logit.

    Raises ValueError if it is above 1e-5.
    """
    images, rng = loaded.preprocessing, np.random.default_rng(0)
    network, differences = jax.jit(logits(loaded, normalise=normalise)), []
    for batch in _BATCHES:
        pixels = rng.integers(0, 256, (batch, images.image_size, images.image_size, images.channels))
        given = pixels.astype(np.float32) if normalise else images.normalise(pixels)
        expected, found = np.asarray(network(given)), run(given)
        differences.append(abs(found - expected).max() / abs(expected).max())
    worst = float(np.max(differences))  # Python's max would leave out NaN.
    if not worst <= _TOLERANCE:
        raise ValueError(
            f"the exported network differs from the one in JAX by {worst:.1e} of the largest logit; at most "
            f"{_TOLERANCE:.0e} is rounding"
        )
    return worst
