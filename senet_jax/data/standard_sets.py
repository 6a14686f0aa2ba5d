"""Datasets with official files: their layouts, their classes and their numbers of images."""

import dataclasses
import importlib.resources
import io
import os
import re
import tarfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tensorflow_datasets as tfds

from senet_jax.data import members, shards
from senet_jax.data.members import Member
from senet_jax.files import expanded
from senet_jax.texts import some

Splits = dict[str, list[Member]]

_DEVKIT = "ILSVRC2012_devkit_t12"


@dataclass(frozen=True)
class StandardSet:
    """A dataset that TFDS reads by its name, once it is in its directory."""

    directory: str
    """Path below the directory of all datasets: name, configuration if there is one, and version."""
    class_names: Callable[[Path], list[str]]
    """Class names in the order of their numbers, of a source if it lists them."""
    images: dict[str, int]
    """Number of images of each split."""
    find: Callable[[Path], Splits]
    """Returns its files in the source. Raises ValueError if they are missing, OSError if they cannot be read."""


def imagenet_classes(source: Path | None = None) -> list[str]:
    """Returns the 1,000 WordNet IDs, sorted: the order of the logits of released weights."""
    return _resource("labels.txt")


def _resource(name: str) -> list[str]:
    """Returns the words of a file that comes with TFDS."""
    file = importlib.resources.files("tensorflow_datasets") / "datasets" / "imagenet2012" / name
    return file.read_text(encoding="utf-8").split()


def _find_imagenet(source: Path) -> Splits:
    found: Splits = {}
    if (tar := source / "ILSVRC2012_img_train.tar").is_file():
        found["train"] = members.in_tars_in_tar(tar)
    elif (folder := source / "train").is_dir():
        found["train"] = members.in_class_folders(folder)
    if (tar := source / "ILSVRC2012_img_val.tar").is_file():
        found["validation"] = members.in_tar(tar, validation_labels(source))
    for folder in (source / "val", source / "validation"):
        if "validation" not in found and folder.is_dir():
            flat = not any(entry.is_dir() for entry in members.entries(folder))
            labels = validation_labels(source) if flat else {}
            found["validation"] = members.in_folder(folder, labels) if flat else members.in_class_folders(folder)
    if not found:
        raise ValueError(
            f"--source={source} has neither ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar nor the folders train "
            "and val; give the directory that has them"
        )
    return found


def validation_labels(source: Path) -> dict[str, str]:
    """Returns the class of each validation image by its file name, from the devkit if it is there, else from TFDS.

    Raises ValueError if the two do not agree.
    """
    labels = _resource("validation_labels.txt")
    listed = {f"ILSVRC2012_val_{number:08d}.JPEG": label for number, label in enumerate(labels, 1)}
    devkit = _read_devkit(source)
    if devkit is None:
        return listed
    given = dict(zip(listed, devkit, strict=False))
    if differ := [name for name, label in given.items() if label != listed[name]]:
        raise ValueError(
            f"the devkit in {source} calls {differ[0]} {given[differ[0]]} and the standard list {listed[differ[0]]}, "
            f"and {len(differ) - 1:,} more differ; fetch the devkit again, or remove it"
        )
    return given


def _read_devkit(source: Path) -> list[str] | None:
    """Returns the WordNet IDs of the validation images in the order of their names; None without a devkit.

    Raises ValueError if the devkit cannot be read.
    """
    from scipy.io import loadmat

    names = [f"{_DEVKIT}/data/{name}" for name in ("meta.mat", "ILSVRC2012_validation_ground_truth.txt")]
    try:
        if (tar := source / f"{_DEVKIT}.tar.gz").is_file():
            with tarfile.open(tar, "r:gz") as content:
                parts = [content.extractfile(name) for name in names]
                meta, truth = (part.read() for part in parts if part is not None)
        elif (source / _DEVKIT).is_dir():
            meta, truth = ((source / name).read_bytes() for name in names)
        else:
            return None
        synsets = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
        words = {int(synset["ILSVRC2012_ID"]): str(synset["WNID"]) for synset in synsets}
        return [words[int(number)] for number in truth.split()]
    except Exception as error:  # Damage raises errors of many types.
        raise ValueError(
            f"the devkit in {source} cannot be read ({type(error).__name__}: {error}); fetch it again, or remove it"
        ) from error


def _find_imagenet_v2(source: Path) -> Splits:
    """Finds the images in class folders that are named by numbers, as in the archive."""
    names = imagenet_classes()
    inner = source / "imagenetv2-matched-frequency-format-val"
    found = members.in_class_folders(inner if inner.is_dir() else source)
    try:
        labels = {member.label: names[int(member.label)] for member in found}
    except (ValueError, IndexError):
        raise ValueError(f"--source={source} must have the folders 0 to 999 of ImageNet-V2's archive") from None
    return {"test": [dataclasses.replace(member, label=labels[member.label]) for member in found]}


def _find_places(source: Path) -> Splits:
    """Finds the images of the standard lists in their folders or tars, of 256 pixels or large."""
    names = _places_classes(source)
    found: Splits = {}
    train = "data_256", "data_256_standard", "data_large_standard"
    train += "train_256_places365standard.tar", "train_large_places365standard.tar"
    for split, listing, candidates in (
        ("train", "places365_train_standard.txt", train),
        ("validation", "places365_val.txt", ("val_256", "val_large", "val_256.tar", "val_large.tar")),
    ):
        root = next((source / name for name in candidates if (source / name).exists()), None)
        if root is not None:
            found[split] = members.listed(root, _places_labels(source / listing, names))
    return found


def _places_labels(file: Path, names: list[str]) -> dict[str, str]:
    """Returns the class of each image of a list. Raises ValueError for a line without a path and a class's number."""
    labels, known = {}, {str(number): name for number, name in enumerate(names)}
    for number, line in enumerate(_lines(file), 1):
        name, _, label = line.strip().rpartition(" ")
        if not name or label not in known:
            raise ValueError(
                f"{file}, line {number}: {line!r} must be the path of an image and the number of its class, from 0 to "
                f"{len(names) - 1}; fetch the list again"
            )
        labels[name.lstrip("/")] = known[label]
    return labels


def _places_classes(source: Path) -> list[str]:
    """Returns names such as /a/airfield, in the order of the list."""
    return [line.split()[0] for line in _lines(source / "categories_places365.txt")]


def _lines(file: Path) -> list[str]:
    if not file.is_file():
        raise ValueError(
            f"{file} does not exist; it comes with the lists of Places365 (filelist_places365-standard.tar)"
        )
    return file.read_text(encoding="utf-8").splitlines()


SETS = {
    "imagenet2012": StandardSet(
        "imagenet2012/5.1.0", imagenet_classes, {"train": 1_281_167, "validation": 50_000}, _find_imagenet
    ),
    "imagenet_v2": StandardSet(
        "imagenet_v2/matched-frequency/3.0.0", imagenet_classes, {"test": 10_000}, _find_imagenet_v2
    ),
    "places365": StandardSet(
        "places365/1.0.0", _places_classes, {"train": 1_803_460, "validation": 36_500}, _find_places
    ),
}

IMAGES = {name: each.images for name, each in SETS.items()} | {
    "digits": {"train": 1438, "test": 359},
    "cifar10": {"train": 50_000, "test": 10_000},
    "cifar100": {"train": 50_000, "test": 10_000},
    "places365_small": SETS["places365"].images,
}
"""Published numbers of images, by dataset and split."""


def find(name: str, source: Path, *, partial: bool = False) -> tuple[str, list[str], Splits]:
    """Returns the directory, the class names and the files of one of `SETS`, or of any source under another name.

    Raises ValueError if files or classes are missing, double or unknown; `partial` allows missing ones. Raises OSError
    if the source cannot be read.
    """
    if not source.is_dir():
        raise ValueError(f"--source is {str(source)!r}, which is not a directory")
    standard = SETS.get(name)
    if standard is None:
        _check_name(name)
        names, splits = shards.find_arrow(source) or shards.find_tars(source) or _class_folders(source)
    else:
        splits, names = standard.find(source), standard.class_names(source)
    for split, found in splits.items():
        if not re.fullmatch(r"[\w-]+", split):
            raise ValueError(f"the split {split!r} in {source} must be letters, digits, _ and -; rename it")
        if not found:
            raise ValueError(f"split {split!r} in {source} has no images")
        _check_known(split, found, names)
        if not partial:
            _check_complete(split, found, names, standard and standard.images[split])
    missing = set(standard.images if standard and not partial else ()) - set(splits)
    if missing or not splits:
        lacks = ", ".join(sorted(missing)) or "any; images belong into <split>/<class>/<file>"
        raise ValueError(f"{source} lacks the split {lacks}{_PARTIAL if missing else ''}")
    return (standard.directory if standard else f"{name}/1.0.0"), names, splits


def data_root(data_dir: str | Path | None) -> Path:
    """Returns the directory of prepared datasets; by default that of TFDS."""
    return expanded(data_dir or os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets"))


_PARTIAL = "; fetch the missing files, or give --partial to prepare the others"


def _check_name(name: str) -> None:
    if name in ("digits", "folder", *tfds.list_builders(with_community_datasets=False)):
        raise ValueError(
            f"--dataset={name} is prepared by itself when it is used; here it can be {', '.join(SETS)}, or a new name "
            "for images of your own"
        )
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"--dataset is {name!r}; it must be lower-case letters, digits and underscores, as my_photos")


def _check_known(split: str, found: list[Member], names: list[str]) -> None:
    if unknown := sorted({member.label for member in found}.difference(names)):
        raise ValueError(f"split {split!r} has unknown classes: {some(unknown)}")
    keys = Counter((member.label, member.name) for member in found)
    if double := ["/".join(key) for key, count in keys.items() if count > 1]:
        raise ValueError(f"split {split!r} has two of {some(double)}")


def _check_complete(split: str, found: list[Member], names: list[str], images: int | None) -> None:
    if missing := sorted(set(names).difference(member.label for member in found)):
        raise ValueError(f"split {split!r} lacks the classes {some(missing)}{_PARTIAL}")
    if images is not None and len(found) != images:
        raise ValueError(f"split {split!r} has {len(found):,} images, which should be {images:,}{_PARTIAL}")


def _class_folders(source: Path) -> shards.Found:
    folders = sorted(entry for entry in source.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    for folder in folders:
        if (files := members.entries(folder)) and all(file.is_file() for file in files):
            raise ValueError(
                f"{folder} has images and no class folders; they belong into {source}/<split>/<class>, such as "
                f"{source / 'train' / folder.name}"
            )
    splits = {folder.name: members.in_class_folders(folder) for folder in folders}
    return sorted({member.label for found in splits.values() for member in found}), splits
