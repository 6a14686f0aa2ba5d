"""The labels of ImageNet's validation images that people gave anew: ReaL (Beyer et al., arXiv 2006.07159).

An image has every class that is in it, or none at all if people could not say; such images count neither as right nor
as wrong.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_IMAGES = 50_000


def read(file: Path) -> list[list[int]]:
    """Reads real.json: the numbers of the classes of each validation image, in the order of their names.

    Raises ValueError if it is not that.
    """
    try:
        labels: list[list[int]] = json.loads(file.read_text(encoding="utf-8"))
        good = len(labels) == _IMAGES and all(0 <= number < 1000 for image in labels for number in image)
    except (ValueError, TypeError):
        labels, good = [], False
    if not good:
        raise ValueError(f"{file} is not real.json of ReaL, a list of the classes of each of {_IMAGES:,} images")
    return labels


def place(file: str) -> int:
    """Returns the place of a validation image in the list, from 0, by the name of its file.

    Raises ValueError for another name.
    """
    found = re.search(r"ILSVRC2012_val_(\d{8})\.JPEG$", file)
    if found is None or not 1 <= int(found[1]) <= _IMAGES:
        raise ValueError(f"{file or 'an image without a name'} is none of ImageNet's validation images")
    return int(found[1]) - 1


def accuracy(labels: list[list[int]], files: Sequence[str], predicted: np.ndarray) -> tuple[float, int]:
    """Returns the share of images whose predicted class is among theirs, and the number of images that have classes.

    `files` names the images as ILSVRC2012_val_00000001.JPEG, `predicted` are class numbers in the order of the sorted
    WordNet IDs, (n,). Raises ValueError for another name, or if no image has classes.
    """
    right = []
    for file, number in zip(files, predicted.tolist(), strict=True):
        if classes := labels[place(file)]:
            right.append(number in classes)
    if not right:
        raise ValueError("ReaL says that none of these images has a class")
    return sum(right) / len(right), len(right)
