"""Trained weights that a run starts from."""

import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from senet_jax.config import Experiment
from senet_jax.data import Dataset
from senet_jax.data.dataset import preview
from senet_jax.inherited import PREPROCESSING, with_preprocessing
from senet_jax.models import Network
from senet_jax.models.insert_se import insert_se
from senet_jax.training import random
from senet_jax.weights import imagenet, runs
from senet_jax.weights.load import classes, to_variables
from senet_jax.weights.pretrained import check_network
from senet_jax.weights.source import read_source


class Start(NamedTuple):
    """Variables before the first step."""

    variables: dict[str, Any]
    """`params` and `batch_stats`."""
    source: str
    """Name of the weights, with the SHA-256 of their file or the step of their run, and the changes to them."""
    images: str
    """Description of the preprocessing of the images."""


def settled(config: Experiment) -> Experiment:
    """Returns the configuration with the preprocessing of its weights, if config.init.preprocessing asks for it.

    Raises ValueError if the weights do not fit or another field contradicts it, OSError if the weights cannot be read
    or fetched.
    """
    fields = PREPROCESSING.get(config.init.preprocessing, ())
    if config.init.weights is None or not fields:
        return config
    try:
        images = read_source(config.init.weights).preprocessing(config.model.name)
    except (ValueError, OSError) as error:
        raise type(error)(f"config.init.weights is {config.init.weights!r}: {error}") from error
    if preview(config.data)[1] == 1:
        images = images.of_channels(1)
    found = runs.data_fields(images)
    return with_preprocessing(config, {name: found[name] for name in fields})


def read_start(config: Experiment, network: Network, dataset: Dataset) -> Start | None:
    """Reads the weights of `config.init`; None if there are none.

    Raises ValueError if they do not fit the network or the dataset, OSError if they cannot be read or fetched.
    """
    init = config.init
    if init.weights is None:
        return None
    if init.insert_se and network.attention is None:
        raise ValueError(
            f"config.init.insert_se is true, and config.model.name, {config.model.name!r}, has no attention; give its "
            "SE twin"
        )
    try:
        file, class_names, said, preprocessing = read_source(init.weights)
        check_network(config.model.name, file)
        plain = network.clone(attention=None) if init.insert_se else network
        keeps, reason = _keeps_head(init.head, classes(plain, file), class_names, dataset)
        key = random.stream(config.seed, "init")
        variables = to_variables(plain, file, head=keeps, key=key, channels=dataset.channels)
        said += f", {'its last layer included' if keeps else 'with a new last layer'} ({reason})"
        if init.insert_se:
            size = config.data.image_size
            images = jax.ShapeDtypeStruct((1, size, size, dataset.channels), jnp.float32)
            _, variables = insert_se(plain, variables, attention=network.attention, images=images, key=key)
            said += ", with SE blocks put in"
        theirs = preprocessing(config.model.name).of_channels(dataset.channels)
    except (ValueError, OSError) as error:
        surplus = re.search(r"surplus: .*[./]se[./]", str(error))
        if init.insert_se and surplus:
            hint = "; weights that have SE are read without --config.init.insert_se"
        elif "/se/" in str(error) and not surplus and not init.insert_se:
            hint = "; --config.init.insert_se puts SE into weights of the plain network"
        else:
            hint = ""
        raise type(error)(f"config.init.weights is {init.weights!r}: {error}{hint}") from error
    ours = runs.preprocessing(config, dataset.channels)
    same = "as the weights were trained with" if ours == theirs else f"the weights were trained with {theirs}"
    return Start(variables, said, f"images: {ours}; {same}")


def _keeps_head(head: str, given: int, class_names: tuple[str, ...], dataset: Dataset) -> tuple[bool, str]:
    """Returns whether the last layer of weights of `given` classes is kept, and the reason.

    A thousand classes without names are ImageNet's, as for `senet_jax.load`; other numbers are trusted. Raises
    ValueError if it is to be kept and its classes are not the dataset's, as far as their names are known.
    """
    theirs = class_names or (imagenet.class_names() if given == 1000 and head == "auto" else ())
    pairs = enumerate(zip(theirs, dataset.class_names, strict=False))
    differ = next((pair for pair in pairs if len({imagenet.described(name) for name in pair[1]}) > 1), None)
    if head == "new":
        return False, "as configured"
    if given != dataset.num_classes:
        reason = f"theirs is of {given:,} classes, and the dataset has {dataset.num_classes:,}"
    elif differ:
        reason = f"class {differ[0]} of theirs is {differ[1][0]!r}, and the dataset's is {differ[1][1]!r}"
    elif theirs:
        return True, "its classes are the dataset's"
    else:
        return True, f"its {given:,} classes have no names and are taken for the dataset's"
    if head == "keep":
        known = f": {', '.join(theirs[:5])}" if theirs else ""
        raise ValueError(
            f"config.init.head is 'keep', but the weights are of {given} classes{known}, and the dataset has "
            f"{dataset.num_classes}: {', '.join(dataset.class_names[:5])}; take 'new' or 'auto'"
        )
    return False, reason
