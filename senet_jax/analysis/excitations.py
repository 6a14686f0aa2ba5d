"""What the gates of squeeze-and-excitation do on images (Hu et al., arXiv 1709.01507, section 7.2)."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from senet_jax.analysis.gates import ObservedNetwork

Batches = Iterable[tuple[Any, Any]]
"""Images as the network takes them, and their classes, int (n,), where a number below 0 marks what does not count."""
NEAR = 0.1
"""Gates closer than this to 0, or to 1, are near it."""
CONSTANT = 0.01
"""A channel whose gates have a smaller std over all images is constant."""
_STAGE = re.compile(r"(stage\d+|inception_\d+|conv\d+|block\d+)_?(?:block)?(?:\d+|[a-z])")


class Gates:
    """The gates of one block on all images, as sums over those of each class."""

    def __init__(self, some: np.ndarray, classes: int):
        """No images yet; `some` are gates of whatever image, (c,)."""
        self.count = np.zeros(classes, int)
        """Images of each class."""
        self._pivot = some.astype(np.float64)  # Sums are of differences from it: then what is constant has no variance.
        self._sum, self._square = np.zeros((2, classes, len(some)))
        self._near_zero = self._near_one = 0

    def add(self, gates: np.ndarray, labels: np.ndarray) -> None:
        """Adds the gates of images, (n, c), of these classes, (n,)."""
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
        """Gates of an image."""
        return len(self._pivot)

    @property
    def sampled(self) -> np.ndarray:
        """Fifty channels at even distances, as in figures 6 and 7, or all where there are fewer."""
        return np.unique(np.linspace(0, self.channels - 1, 50).round().astype(int))

    @property
    def mean(self) -> np.ndarray:
        """Over all images, (c,)."""
        return self._pivot + self._sum.sum(0) / self.count.sum()

    @property
    def std(self) -> np.ndarray:
        """Std over all images, (c,)."""
        return _std(self._sum.sum(0), self._square.sum(0), self.count.sum())

    @property
    def class_mean(self) -> np.ndarray:
        """Over the images of each class, (classes, c); NaN for a class without images."""
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

        Where classes do not matter it is (classes - 1) / (images - 1) on average, by chance alone.
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
    """The gates of a network on the images that it was given."""

    blocks: Mapping[str, Gates]
    """By the path of what holds the gates, such as "stage2_block3", in the order in which the network calls them."""
    accuracy: float
    """Top-1 accuracy of the network, in [0, 1]."""

    @property
    def images(self) -> np.ndarray:
        """How many there were of each class, (classes,)."""
        return next(iter(self.blocks.values())).count

    @property
    def stages(self) -> dict[str, list[str]]:
        """Paths of the blocks of each stage; where they do not tell it, blocks of as many channels make one."""
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
    """Statistics of all gates of a network, in one pass and in memory that does not grow with the number of images.

    Gates are those of our attention modules; `ObservedNetwork` says what they are in others, which are named "se".

    Args:
      model: any network that is called with images and gives logits (n, classes).
      variables: the network's.
      batches: images and labels.
      **arguments: all else that the network is called with; `train=False` is added where it takes `train`.

    Raises ValueError where the network has no gates, or uses some twice, where a label is none of the classes, and
    where there are no images.
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
    """Top-1 accuracy in [0, 1] for each group of blocks when their gates are replaced by their means over all images.

    Constant gates can be merged into the layer before them, so that blocks without which no accuracy is lost need no
    squeeze-and-excitation.

    Args:
      model: the network.
      variables: the network's.
      batches: images and labels; they are read once for all groups.
      found: what `excitations` gave; it has the means.
      groups: paths of blocks under names of any kind, such as `found.stages`.
      **arguments: all else that the network is called with, as in `excitations`.

    Raises ValueError for a block that there is not, and where there are no images.
    """
    for path in (path for paths in groups.values() for path in paths):
        if path not in found.blocks:
            raise ValueError(f"there is no block {path!r}; there are {', '.join(found.blocks)}")
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
    """The number of gates of each block, from shapes alone; raises ValueError where the network has none."""
    network = ObservedNetwork(model, arguments)
    _, seen = jax.eval_shape(network, variables, images)
    return {path: gates.shape[-1] for path, gates in zip(network.paths, seen, strict=True)}


def _counting(labels: Any, *arrays: Any) -> list[np.ndarray]:
    """The labels and the arrays, of the images that count."""
    counts = np.asarray(labels) >= 0
    return [np.asarray(array)[counts] for array in (labels, *arrays)]


def _correct(logits: np.ndarray, labels: np.ndarray) -> int:
    """How many answers are right; a tie, or a logit that is no number, is wrong."""
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    return int(((logits >= own).sum(1) == 1).sum())


def _std(total: np.ndarray, squares: np.ndarray, count: Any) -> np.ndarray:
    return np.sqrt(np.maximum(squares / count - (total / count) ** 2, 0))
