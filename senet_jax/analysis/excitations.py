"""Statistics of the gates of squeeze-and-excitation on images (Hu et al., arXiv 1709.01507, section 7.2)."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from senet_jax.analysis.gates import ObservedNetwork

Batches = Iterable[tuple[Any, Any]]
"""Normalised images and their classes, int (n,); images of a negative class do not count."""
NEAR = 0.1
"""Distance within which gates are near 0, or near 1."""
CONSTANT = 0.01
"""Std over all images below which the gates of a channel are constant."""
_STAGE = re.compile(r"(stage\d+|inception_\d+|conv\d+|block\d+)_?(?:block)?(?:\d+|[a-z])")


class Gates:
    """The gates of one block on all images, as sums over those of each class."""

    def __init__(self, some: np.ndarray, classes: int):
        """Begins without images; `some` are the gates of any image, (c,)."""
        self.count = np.zeros(classes, int)
        """Number of images of each class."""
        # Sums are of differences from it, so that constant gates have no variance.
        self._pivot = some.astype(np.float64)
        self._sum, self._square = np.zeros((2, classes, len(some)))
        self._near_zero = self._near_one = 0

    def add(self, gates: np.ndarray, labels: np.ndarray) -> None:
        """Adds the gates (n, c) of images of these classes, (n,)."""
        present, index = np.unique(labels, return_inverse=True)
        members = (index == np.arange(len(present))[:, None]).astype(np.float64)
        difference = gates - self._pivot
        self.count[present] += np.bincount(index)
        self._sum[present] += members @ difference
        self._square[present] += members @ difference**2
        self._near_zero += int((abs(gates) < NEAR).sum())
        self._near_one += int((abs(gates - 1) < NEAR).sum())

    @property
    def channels(self) -> int:
        """Number of gates of an image."""
        return len(self._pivot)

    @property
    def sampled(self) -> np.ndarray:
        """Fifty channels at even distances, as in figures 6 and 7, or all if there are fewer."""
        return np.unique(np.linspace(0, self.channels - 1, 50).round().astype(int))

    @property
    def mean(self) -> np.ndarray:
        """Mean over all images, (c,)."""
        return self._pivot + self._sum.sum(0) / self.count.sum()

    @property
    def std(self) -> np.ndarray:
        """Std over all images, (c,)."""
        return _std(self._sum.sum(0), self._square.sum(0), self.count.sum())

    @property
    def class_mean(self) -> np.ndarray:
        """Mean over the images of each class, (classes, c); NaN for a class without images."""
        return self._pivot + self._sum / self._counted

    @property
    def class_std(self) -> np.ndarray:
        """Std over the images of each class, (classes, c); NaN for a class without images."""
        return _std(self._sum, self._square, self._counted)

    @property
    def near_zero(self) -> float:
        """Share of the gates of all images and channels that are near 0."""
        return self._near_zero / (self.count.sum() * self.channels)

    @property
    def near_one(self) -> float:
        """Share of the gates of all images and channels that are near 1."""
        return self._near_one / (self.count.sum() * self.channels)

    @property
    def constant(self) -> float:
        """Share of the channels that are constant."""
        return float((self.std < CONSTANT).mean())

    @property
    def between_classes(self) -> float:
        """Variance of the classes' means over the variance of the gates, both summed over channels; NaN for 0 over 0.

        If classes do not matter, it is (classes - 1) / (images - 1) on average, by chance alone.
        """
        present, images = self.count > 0, self.count.sum()
        differences = self._sum[present] / self._counted[present] - self._sum.sum(0) / images
        between = (self.count[present] / images) @ differences**2
        total = self.std @ self.std
        return float(between.sum() / total) if total else np.nan

    @property
    def _counted(self) -> np.ndarray:
        return np.where(self.count, self.count, np.nan)[:, None]


@dataclass(frozen=True)
class Excitations:
    """Gates of a network on a set of images."""

    blocks: Mapping[str, Gates]
    """Gates by the path of their block, such as "stage2_block3", in the order of the calls."""
    accuracy: float
    """Top-1 accuracy of the network, in [0, 1]."""

    @property
    def images(self) -> np.ndarray:
        """Number of images of each class, (classes,)."""
        return next(iter(self.blocks.values())).count

    @property
    def stages(self) -> dict[str, list[str]]:
        """Paths of the blocks of each stage; if paths have no stages, blocks of equal numbers of channels form one."""
        stages: dict[str, list[str]] = {}
        for path, gates in self.blocks.items():
            named = _STAGE.fullmatch(path)
            stages.setdefault(named[1] if named else f"{gates.channels} channels", []).append(path)
        return stages

    @property
    def shown(self) -> list[str]:
        """Paths of the blocks of figures 6 and 7: the last of each stage, and all of the last stage."""
        *earlier, last = self.stages.values()
        return [paths[-1] for paths in earlier] + last


def excitations(model: nn.Module, variables: Any, batches: Batches, **arguments: Any) -> Excitations:
    """Returns statistics of all gates of a network, from one pass and in memory that does not grow with the images.

    `ObservedNetwork` says which modules have gates.

    Args:
      model: any network that is called with images and returns logits (n, classes).
      variables: variables of the network.
      batches: images and labels.
      **arguments: other arguments of the network; `train=False` is added if it takes `train`.

    Raises ValueError if the network has no gates, or uses some twice, if a label is not a class of the network, or if
    there are no images.
    """
    network = ObservedNetwork(model, arguments)
    forward = jax.jit(network)
    blocks: dict[str, Gates] = {}
    correct = count = 0
    for images, given in batches:
        logits, seen = forward(variables, images)
        labels, logits, *seen = _counting(given, logits, *seen)
        if not len(labels):
            continue
        classes = logits.shape[1]
        if labels.max() >= classes:
            raise ValueError(f"a label is {labels.max()}; the network has the classes 0 to {classes - 1}")
        for path, gates in zip(network.paths, seen, strict=True):
            if path not in blocks:
                blocks[path] = Gates(gates[0], classes)
            blocks[path].add(gates, labels)
        correct += _correct(logits, labels)
        count += len(labels)
    if not count:
        raise ValueError("batches have no images that count; give at least one")
    return Excitations(blocks, correct / count)


def accuracy_without(
    model: nn.Module,
    variables: Any,
    batches: Batches,
    found: Excitations,
    groups: Mapping[str, Collection[str]],
    **arguments: Any,
) -> dict[str, float]:
    """Returns the top-1 accuracy, in [0, 1], after the gates of each group of blocks are replaced by their means.

    Constant gates can be merged into the layer before them, so that blocks which keep the accuracy without varying
    gates need no squeeze-and-excitation.

    Args:
      model: the network.
      variables: variables of the network.
      batches: images and labels; they are read once for all groups.
      found: result of `excitations`, with the means.
      groups: paths of blocks by name, such as `found.stages`.
      **arguments: other arguments of the network, as in `excitations`.

    Raises ValueError if a block does not exist, or if there are no images.
    """
    for path in (path for paths in groups.values() for path in paths):
        if path not in found.blocks:
            raise ValueError(f"there is no block {path!r}; the blocks are {', '.join(found.blocks)}")
    means = {path: gates.mean.astype(np.float32) for path, gates in found.blocks.items()}
    nothing = {path: np.full_like(mean, np.nan) for path, mean in means.items()}
    forward = jax.jit(ObservedNetwork(model, arguments))
    correct, count = dict.fromkeys(groups, 0), 0
    for images, given in batches:
        for name, paths in groups.items():
            logits, _ = forward(variables, images, nothing | {path: means[path] for path in paths})
            correct[name] += _correct(*reversed(_counting(given, logits)))
        count += int((np.asarray(given) >= 0).sum())
    if not count:
        raise ValueError("batches have no images that count; give at least one")
    return {name: answers / count for name, answers in correct.items()}


def count_gates(model: nn.Module, variables: Any, images: Any, **arguments: Any) -> dict[str, int]:
    """Returns the number of gates of each block, from shapes alone; raises ValueError if the network has none."""
    network = ObservedNetwork(model, arguments)
    _, seen = jax.eval_shape(network, variables, images)
    return {path: gates.shape[-1] for path, gates in zip(network.paths, seen, strict=True)}


def _counting(labels: Any, *arrays: Any) -> list[np.ndarray]:
    """Returns labels and arrays, first logits, without the images that do not count.

    Raises ValueError if labels are not numbers of classes, if the first array is no logits, or if their numbers differ.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels are {labels.dtype} of shape {labels.shape}; give whole numbers, one for each image")
    if (shape := np.shape(arrays[0]))[1:-1] or not shape[1:]:
        raise ValueError(f"the network returns an array of shape {shape}; it must be logits, (n, classes)")
    counts = labels >= 0
    if any(len(array) != len(counts) for array in arrays):
        raise ValueError(f"a batch has {len(arrays[0])} images and {len(counts)} labels; give a label for each image")
    return [np.asarray(array)[counts] for array in (labels, *arrays)]


def _correct(logits: np.ndarray, labels: np.ndarray) -> int:
    """Returns the number of correct predictions; a tie and a NaN count as wrong."""
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    return int(((~(logits < own)).sum(1) == 1).sum())


def _std(total: np.ndarray, squares: np.ndarray, count: Any) -> np.ndarray:
    return np.sqrt(np.maximum(squares / count - (total / count) ** 2, 0))
