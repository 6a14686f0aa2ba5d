"""Trained networks from a run's workdir, a weight file, a folder in timm's format or the hub."""

import json
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from senet_jax.config import ModelConfig
from senet_jax.files import expanded
from senet_jax.models import Network, list_models
from senet_jax.weights import imagenet, runs
from senet_jax.weights.configured import build_model
from senet_jax.weights.load import Weights, classes, from_variables, read, to_variables
from senet_jax.weights.preprocessing import Preprocessing
from senet_jax.weights.pretrained import (
    channels_of,
    check_network,
    digest,
    hub_config,
    located,
    preprocessing_of,
    timm_name,
    written_config,
)
from senet_jax.workdir import CHECKPOINTS, NETWORK

_AT_ONCE = 64
"""Most images that `Loaded.predict` computes together."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """A trained network with its preprocessing and class names.

    `network.apply(variables, preprocessing(image)[None], train=False)` returns the logits of an image.
    """

    network: Network
    variables: dict[str, Any]
    """`params` and `batch_stats`; a run's exponential moving average if it keeps one."""
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    """Names in the order of the logits; empty if they are not known."""
    config: ModelConfig
    """Configuration of the network."""
    source: str
    """Name of the source, and the SHA-256 of the file or the step of the checkpoint."""

    def predict(self, images: Sequence[Any], *, top: int = 5) -> list[list[tuple[str, float]]]:
        """Returns the likeliest classes of each image and their probabilities; a class without a name is its number.

        `images` are paths of files, PIL images, or uint8 arrays (h, w, 3) or (h, w). Raises ValueError for anything
        else and for `top` below 1, OSError for a file that cannot be read.
        """
        if top < 1:
            raise ValueError(f"top is {top}; it must be 1 or more")
        if isinstance(images, str | Path):
            raise ValueError(f"images is the path {str(images)!r}; it must be a list, even of one image")
        shape = np.shape(images) if hasattr(images, "ndim") else (0,) * 4
        if not hasattr(images, "__len__") or len(shape) < 3 or (len(shape) == 3 and shape[-1] in (1, 3)):
            raise ValueError(f"images is one {type(images).__name__}; it must be a list, even of one image")
        if not len(images):
            return []
        found = []
        for start in range(0, len(images), _AT_ONCE):
            part = images[start : start + _AT_ONCE]
            pixels = np.stack([self.preprocessing.crop_pixels(_opened(image)) for image in part])
            found += [self.named(probabilities, top) for probabilities in self.probabilities(pixels)]
        return found

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Returns the probabilities, (n, classes), for pixels of `preprocessing.crop_pixels`, (n, h, w, c)."""
        return np.asarray(self._probabilities(self.variables, pixels))

    def named(self, probabilities: np.ndarray, top: int = 5) -> list[tuple[str, float]]:
        """Returns the likeliest classes with their probabilities, from the probabilities of an image, (classes,)."""
        likeliest = np.argsort(-probabilities, kind="stable")[:top]
        names = self.class_names or tuple(map(str, range(len(probabilities))))
        return [(imagenet.described(names[label]), float(probabilities[label])) for label in likeliest]

    @cached_property
    def _probabilities(self) -> Any:
        def probabilities(variables: Any, pixels: jax.Array) -> jax.Array:
            images = self.preprocessing.normalise(pixels)
            logits: Any = self.network.apply(variables, images, train=False)
            return jax.nn.softmax(logits)

        return jax.jit(probabilities)


class Source(NamedTuple):
    """The weights of a source of `load`, without a network for them."""

    file: Weights
    class_names: tuple[str, ...]
    """As far as they are known."""
    name: str
    """Name of the source, and the SHA-256 of the file or the step of the checkpoint."""
    preprocessing: Callable[[str], Preprocessing]
    """Its images', for the name of a network; it may warn."""


def read_source(source: str | Path) -> Source:
    """Returns the weights of a source of `load`.

    Raises ValueError or OSError if the source cannot be read or fetched.
    """
    workdir = expanded(source)
    if (workdir / NETWORK).is_file():
        return _read_run(workdir, "newest")[0]
    return _read_file(source)


def _read_run(workdir: Path, step: str | int) -> tuple[Source, runs.Description]:
    described = runs.read_description(workdir)
    variables, found = runs.read_variables(workdir, step)
    file, said = from_variables(workdir, variables, described.config.name), f"{runs.called(workdir)}, step {found}"
    return Source(file, described.class_names, said, lambda _: described.preprocessing), described


def _read_file(source: str | Path, *, average: bool = True) -> Source:
    path, called = located(source)
    file, said = read(path, average=average), f"{called}, SHA-256 {digest(path)}"
    return Source(file, _class_names(file), said, lambda name: preprocessing_of(name, file))


def _opened(image: Any) -> Any:
    if not isinstance(image, str | Path):
        return image
    from senet_jax.data.images import read  # Imports Pillow.

    try:
        return read(Path(image).read_bytes())
    except ValueError as error:
        raise ValueError(f"{image} is {error}") from error


def load(
    source: str | Path,
    *,
    model: str | None = None,
    step: str | int = "newest",
    num_classes: int | None = None,
    channels: int | None = None,
    average: bool = True,
    key: jax.Array | None = None,
) -> Loaded:
    """Returns the trained network of a source. Training data and optimizer state are not needed.

    Args:
      source: the workdir of a run; a weight file, of ours or of others; a folder in timm's format, also as
        "local-dir:FOLDER"; or a repository of Hugging Face: "timm/seresnet50.ra2_in1k", also after "hf-hub:".
      model: name of the network, for files that do not say it.
      step: checkpoint of a workdir: "newest", "best", or its step.
      num_classes: width of the logits; if it is not that of the weights, the last layer is initialised anew and
        class_names is empty. 0: pooled features instead of logits. None: that of the weights.
      channels: channels of the images, 3 or 1; 1 sums the first kernel of weights for RGB. None: as the weights.
      average: whether exponential moving averages are read if a PyTorch checkpoint has them.
      key: random key of a new last layer; None: `jax.random.key(0)`.

    Raises ValueError if the source does not fit or does not name its network, OSError if it cannot be fetched.
    """
    workdir = expanded(source)
    is_run = (workdir / NETWORK).is_file()
    if isinstance(step, str) and step not in ("newest", "best"):
        raise ValueError(f"step is {step!r}; it must be 'newest', 'best' or the number of a step")
    if step != "newest" and not is_run:
        raise ValueError(f"step is {step!r}, but {str(source)!r} is not the workdir of a run; leave step out")
    if is_run and model is not None and model != (own := runs.read_description(workdir).config.name):
        raise ValueError(f"model is {model!r}, but the run in {workdir} is of {own}; leave model out")
    if is_run and step != "best":
        taken, described = _read_run(workdir, step)
        config, own_channels = described.config, described.preprocessing.channels
    else:
        if is_run:
            source = runs.best(workdir)
        elif (workdir / CHECKPOINTS).is_dir():
            raise ValueError(f"{workdir} has no {NETWORK}; `train --workdir={workdir}` of this version writes it")
        taken = _read_file(source, average=average)
        if written := taken.file.header.get("source"):
            taken = taken._replace(name=written)
        config = _config(str(source), taken.file, model)
        own_channels = channels_of(config.name, taken.file)
    network, class_names = build_model(config, num_classes=1), taken.class_names
    trained = classes(network, taken.file)
    network = network.clone(num_classes=trained if num_classes is None else num_classes)
    whole = network.num_classes == trained
    if not class_names and trained == 1000:
        class_names = imagenet.class_names()
    kernels = own_channels if channels is None else channels
    if kernels not in (1, own_channels):
        raise ValueError(f"channels is {channels}; these weights take images of {own_channels}, or of 1")
    variables = to_variables(network, taken.file, head=whole, key=key, channels=kernels)
    images = taken.preprocessing(config.name).of_channels(kernels)  # A warning comes after errors.
    return Loaded(network, variables, images, class_names if whole else (), config, taken.name)


def _config(source: str, file: Weights, model: str | None) -> ModelConfig:
    """Returns the configuration of a file's network. Raises ValueError if neither file nor `model` says it."""
    if file.header:
        return written_config(file, model)
    if model is not None:
        return ModelConfig(model)
    said = hub_config(file.path)
    if (name := timm_name(file)) is not None:
        check_network(name, file)
        return ModelConfig(name)
    if "architecture" in said:
        which = f"is of timm's {said['architecture']!r}, which is not a network here"
    else:
        which = "does not say which network it is of"
    raise ValueError(f"{source!r} {which}; give the name of one, as in model={_guess(file)!r} (of a command, --model)")


def _guess(file: Weights) -> str:
    """Returns a network's name for the example in a message, from the file's name if possible.

    Of two networks with the name it is timm's, which is torchvision's too.
    """
    names = [name for name in list_models() if re.search(rf"\b{re.escape(name.split('/')[-1])}\b", file.path.stem)]
    return next((name for name in names if name.startswith("timm/")), names[0] if names else "timm/seresnet50")


def _class_names(file: Weights) -> tuple[str, ...]:
    if file.header:
        return tuple(json.loads(file.header.get("class_names", "[]")))
    names = hub_config(file.path).get("label_names") or ()
    if isinstance(names, dict):
        numbers = list(map(str, range(len(names))))
        if set(names) != set(numbers):
            warnings.warn(
                f"the label_names of {file.path.parent} have no numbers from 0; they are left out", stacklevel=2
            )
            return ()
        names = [names[number] for number in numbers]
    return tuple(names) if isinstance(names, list) else ()
