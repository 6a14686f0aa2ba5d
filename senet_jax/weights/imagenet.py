"""The 1000 classes of ImageNet (ILSVRC 2012), in the order of their WordNet numbers, which is that of the logits."""

from functools import cache
from pathlib import Path

_CLASSES = Path(__file__).with_name("imagenet_classes.txt")


def class_names() -> tuple[str, ...]:
    """Returns the names of WordNet, such as "tench, Tinca tinca"."""
    return tuple(_by_number().values())


def wordnet_numbers() -> tuple[str, ...]:
    """Returns the numbers of WordNet, such as "n01440764"."""
    return tuple(_by_number())


def described(name: str) -> str:
    """Returns the name of a class given by its WordNet number, such as "n01440764"; other names stay."""
    return _by_number().get(name, name)


@cache
def _by_number() -> dict[str, str]:
    return dict(line.split("\t") for line in _CLASSES.read_text(encoding="utf-8").splitlines())
