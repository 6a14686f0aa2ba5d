"""The blobs of the authors' Caffe models as a state dict."""

import re
from pathlib import Path

import numpy as np

_ORDER = Path(__file__).with_name("ilsvrc_order.txt")
"""WordNet numbers of the 1000 classes in the order of the authors' networks, that of the ILSVRC development kit."""
_LEAVES = {"0": "weight", "1": "bias"}
_STATISTICS = {"0": "running_mean", "1": "running_var"}


def is_caffe(tensors: dict[str, np.ndarray]) -> bool:
    """Returns whether these are blobs, with names such as "layer/0"."""
    return bool(tensors) and all(re.search(r"/\d+$", name) for name in tensors)


def to_state_dict(blobs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the blobs as a state dict of PyTorch, for RGB instead of BGR, with the classes by WordNet number.

    Caffe's batch normalisation keeps sums, to be divided by its third blob, and leaves gain and bias to a layer of
    their own. A convolution "conv1" becomes "conv1.weight", its normalisation "conv1/bn.running_mean" and so on.
    """
    state: dict[str, np.ndarray] = {}
    for name, blob in blobs.items():
        layer, _, index = name.rpartition("/")
        if f"{layer}/2" not in blobs:
            leaf = _LEAVES.get(index, index)
            is_vector = leaf == "bias" or layer.endswith("/scale")
            state[f"{layer.removesuffix('/scale')}.{leaf}"] = blob.reshape(-1) if is_vector else blob
        elif index != "2":
            factor = blobs[f"{layer}/2"].item(0)
            mean = blob / factor if factor else np.zeros_like(blob)
            state[f"{layer}.{_STATISTICS.get(index, index)}"] = mean.reshape(-1)
    for name, array in state.items():
        if name.endswith(".weight") and array.ndim == 4 and array.shape[1] == 3:
            state[name] = array[:, ::-1]
        elif name.startswith("classifier."):
            layer = array.reshape(array.shape[-2:]) if array.ndim > 1 else array  # In old files it is (1, 1, out, in).
            state[name] = layer[_sorted_classes()] if len(layer) == 1000 else layer
    return state


def _sorted_classes() -> np.ndarray:
    """Returns the authors' number of each class, in the usual order."""
    return np.argsort(_ORDER.read_text(encoding="utf-8").split())
