"""Weights and images that a peer and we can both compute: nothing but the answers need be stored. NumPy alone."""

import math
import zlib

import numpy as np

SIZES = {"224": (2, 224, 224), "250x230": (1, 250, 230)}
"""Images, height, width: a size that the strides divide, and one that they do not."""
TRAINING = (4, 64, 64)
"""Images, height, width for a step of training."""
LAYERS = (1, 2, 1, 1)
"""Blocks of each stage in a step of training: each kind of block, and a second one within a stage."""
LABELS = (3, 141, 592, 653)
OPTIMIZER = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.5}
"""Settings for the steps of optimizers; such a decay is seen in the results."""
_SHAPES = {"conv/kernel": (3, 3, 2, 4), "dense/kernel": (4, 3), "norm/scale": (4,), "norm/bias": (4,)}


def sizes(network: str) -> list[str]:
    """Returns the sizes that the peer's network takes: with anti-aliasing, the strides must divide them."""
    return ["224"] if "aa" in network else list(SIZES)


def uniform(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers in [-1, 1) that depend on the name and the place alone: splitmix64 of both."""
    state = np.arange(math.prod(shape), dtype=np.uint64) + np.uint64(zlib.crc32(name.encode()) << 32)
    with np.errstate(over="ignore"):
        state = (state + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return ((state >> np.uint64(40)).astype(np.float32) / 2**23 - 1).reshape(shape)


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A tensor of a PyTorch state dict, such that the maps of a deep network neither vanish nor grow much."""
    x = uniform(name, shape)
    if name.endswith("running_var"):
        return 1 + x / 2
    if len(shape) > 1:
        return x * np.float32(math.sqrt(6 / math.prod(shape[1:])))
    return np.float32(0.7) + x / 5 if name.endswith("weight") else x / 10


def images(n: int, height: int, width: int) -> np.ndarray:
    """Normalised images (n, 3, h, w)."""
    return 2 * uniform(f"images {height}x{width}", (n, 3, height, width))


def sample(feature_map: np.ndarray) -> np.ndarray:
    """Returns the first image of (n, c, h, w) at the corners, the middles of the edges and the centre: 32 channels."""
    channels, height, width = feature_map.shape[1:]
    rows, columns = (0, height // 2, height - 1), (0, width // 2, width - 1)
    chosen = np.linspace(0, channels - 1, 32).astype(int)
    return feature_map[0][chosen][:, rows][:, :, columns]


def fingerprint(shapes: dict[str, tuple[int, ...]]) -> int:
    """Returns a fingerprint of the names and shapes of a state dict."""
    lines = sorted(f"{name} {tuple(shape)}" for name, shape in shapes.items())
    return zlib.crc32("\n".join(lines).encode())


def digest(tensor: np.ndarray) -> np.ndarray:
    """The norm of a tensor and four of its elements."""
    flat = np.asarray(tensor, np.float64).ravel()
    return np.array([np.linalg.norm(flat), *flat[np.linspace(0, flat.size - 1, 4).astype(int)]])


def parameters() -> dict[str, np.ndarray]:
    """Parameters before the steps of an optimizer; the bias is zero, as in a new network."""
    return {name: uniform(name, shape) * np.float32("bias" not in name) for name, shape in _SHAPES.items()}


def gradient(name: str, step: int) -> np.ndarray:
    """The gradient of a parameter at a step of an optimizer."""
    return uniform(f"{name} {step}", _SHAPES[name])
