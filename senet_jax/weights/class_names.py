"""Classes of a dataset among those of a network, by their names."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from senet_jax.schema import did_you_mean
from senet_jax.texts import some
from senet_jax.weights import imagenet


def matched(network: Sequence[str], dataset: Sequence[str]) -> np.ndarray:
    """Returns the network's number of each class of a dataset, int (classes of the dataset,).

    ImageNet's classes are found by their WordNet numbers, such as "n01440764", too.

    Raises ValueError if a class is not among the network's, or if several of the network's classes have its name, as
    two of ImageNet's are a crane.
    """
    if tuple(network) == tuple(dataset):
        return np.arange(len(network), dtype=np.int32)
    numbers = {name: number for number, name in enumerate(network)}
    if is_imagenet := tuple(network) == imagenet.class_names():
        numbers |= {name: number for number, name in enumerate(imagenet.wordnet_numbers())}
    if missing := [name for name in dataset if name not in numbers]:
        raise ValueError(
            f"{len(missing)} of the dataset's {len(dataset)} classes are not the network's: "
            f"{some(list(map(repr, missing)))}; the network's {len(network)} are {some(network)}"
            f"{did_you_mean(missing[0], network)}"
        )
    if double := next((name for name in dataset if network.count(name) > 1), None):
        twice = [number for number, name in enumerate(network) if name == double]
        ids = [imagenet.wordnet_numbers()[number] for number in twice] if is_imagenet else []
        hint = f"; name it by its WordNet number, {' or '.join(ids)}" if ids else ""
        raise ValueError(
            f"the network has {len(twice)} classes {double!r}, numbers {' and '.join(map(str, twice))}{hint}"
        )
    return np.array([numbers[name] for name in dataset], np.int32)


def distinct(names: Sequence[str]) -> list[str]:
    """Returns the names of classes; those that several classes have get the number of the class."""
    times = Counter(names)
    return [f"{name} (class {number})" if times[name] > 1 else name for number, name in enumerate(names)]


def numbers_of_imagenet(network: Sequence[str]) -> np.ndarray:
    """Returns ImageNet's number of each class of a network, -1 for others, int (classes of the network,).

    Raises ValueError if the network lacks a class of ImageNet.
    """
    known = imagenet.wordnet_numbers()
    numbers = np.full(len(network), -1)
    numbers[matched(network, known)] = np.arange(len(known))
    return numbers
