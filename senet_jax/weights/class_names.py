"""Classes of a dataset among those of a network, by their names."""

from collections.abc import Sequence

import numpy as np

from senet_jax.schema import did_you_mean
from senet_jax.weights import imagenet

_MOST_LISTED = 5


def matched(network: Sequence[str], dataset: Sequence[str]) -> np.ndarray:
    """Returns the network's number of each class of a dataset, int (classes of the dataset,).

    ImageNet's classes are found by their WordNet numbers, such as "n01440764", too.

    Raises ValueError if a class is not among the network's.
    """
    if tuple(network) == tuple(dataset):  # Two of ImageNet's classes have the names of others.
        return np.arange(len(network), dtype=np.int32)
    numbers = {name: number for number, name in enumerate(network)}
    if tuple(network) == imagenet.class_names():
        numbers |= {name: number for number, name in enumerate(imagenet.wordnet_numbers())}
    if missing := [name for name in dataset if name not in numbers]:
        said = f"{', '.join(map(repr, missing[:_MOST_LISTED]))}{' and so on' if len(missing) > _MOST_LISTED else ''}"
        theirs = f"{', '.join(network[:_MOST_LISTED])}{' and so on' if len(network) > _MOST_LISTED else ''}"
        raise ValueError(
            f"{len(missing)} of the dataset's {len(dataset)} classes are not the network's: {said}; the network's "
            f"{len(network)} are {theirs}{did_you_mean(missing[0], network)}"
        )
    return np.array([numbers[name] for name in dataset], np.int32)


def numbers_of_imagenet(network: Sequence[str]) -> np.ndarray:
    """Returns ImageNet's number of each class of a network, -1 for others, int (classes of the network,).

    Raises ValueError if the network lacks a class of ImageNet.
    """
    known = imagenet.wordnet_numbers()
    numbers = np.full(len(network), -1)
    numbers[matched(network, known)] = np.arange(len(known))
    return numbers
