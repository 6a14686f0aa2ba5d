"""Conversion of weight files to variables of our networks, and back."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from senet_jax.config import ModelConfig
from senet_jax.models import Network, create_model
from senet_jax.models.parameters import abstract_variables
from senet_jax.schema import to_dict
from senet_jax.texts import some
from senet_jax.weights import caffe
from senet_jax.weights.files import read_tensors, write_tensors
from senet_jax.weights.names import namings, tensor_names
from senet_jax.weights.preprocessing import Preprocessing

_FORMAT = "senet_jax"
_HEAD = ("params/head/kernel", "params/head/bias")
_MOST_LISTED = 20


class Weights(NamedTuple):
    """Content of a weight file."""

    path: Path
    tensors: dict[str, np.ndarray]
    """Arrays by the names of the file; in PyTorch's layout, except in our own files."""
    header: dict[str, str]
    """Header of our own files: format, model, num_classes, source, preprocessing, and in newer files fields and
    class_names, as JSON. Empty for other files."""
    is_caffe: bool


def load_weights(
    model: Network, file: str | Path, *, head: bool = True, key: jax.Array | None = None, channels: int = 3
) -> dict[str, Any]:
    """Returns the weights of a file as variables: `model.apply(load_weights(model, file), images, train=False)`.

    Reads our own safetensors, and the weights of timm, Cadene, torchvision, NVIDIA and the authors as safetensors,
    PyTorch or Caffe files. Caffe's BGR becomes RGB, and its classes get the usual order, that of WordNet numbers.

    Args:
      model: a network of `create_model`.
      file: the path of the file.
      head: whether the last layer is loaded; if not, it is initialised, for any number of classes. A network without
        one, or of features alone, leaves out the layers of the file that it lacks.
      key: random key of a new last layer; None: `jax.random.key(0)`.
      channels: channels of the images; if 1, the first kernel of weights for RGB is summed over its input channels.

    Raises ValueError if the file is not this network's, with the missing, surplus and misshapen arrays.
    """
    return to_variables(model, read(file), head=head, key=key, channels=channels)


def save_weights(
    file: str | Path,
    variables: dict[str, Any],
    *,
    model: str | ModelConfig,
    preprocessing: Preprocessing,
    source: str,
    class_names: Sequence[str] = (),
) -> None:
    """Writes a network's variables as a safetensors file. Its header names the network and the source of the weights.

    Args:
      file: the path of the file.
      variables: `params` and `batch_stats`.
      model: the name of the network, one of `list_models()`, or its configuration, whose `activation` is that inside of
        the SE block. A network with fields that no configuration has, such as the `activation` of `create_model`, is
        not described by the file; `load_weights` reads it into that network.
      preprocessing: preprocessing of its images.
      source: origin of the weights.
      class_names: names in the order of the logits; empty if they are not known.
    """
    config = ModelConfig(model) if isinstance(model, str) else model
    create_model(config.name, 1)  # Raises ValueError for an unknown name.
    usual = to_dict(ModelConfig(config.name))
    fields = {name: value for name, value in to_dict(config).items() if value != usual[name]}
    _, tensors, header, _ = from_variables(Path(file), variables, config.name)
    header |= {"source": source, "fields": json.dumps(fields), "class_names": json.dumps(list(class_names))}
    write_tensors(file, tensors, header | {"preprocessing": preprocessing.to_json()})


def read(file: str | Path, *, average: bool = True) -> Weights:
    """Returns the content of a weight file, for any network. Raises ValueError if it cannot be read.

    `average`: whether exponential moving averages are read if a PyTorch checkpoint has them.
    """
    tensors, metadata = read_tensors(file, average=average)
    if is_caffe := caffe.is_caffe(tensors):
        tensors = caffe.to_state_dict(tensors)
    tensors = {name: tensor for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}
    return Weights(Path(file), tensors, metadata if metadata.get("format") == _FORMAT else {}, is_caffe)


def from_variables(path: Path, variables: dict[str, Any], model: str) -> Weights:
    """Returns variables of the named network as the content of a file of ours at the path."""
    tensors = {name: np.asarray(array) for name, array in traverse_util.flatten_dict(variables, sep="/").items()}
    classes = tensors[_HEAD[0]].shape[-1] if _HEAD[0] in tensors else 0
    header = {"format": _FORMAT, "model": model, "num_classes": str(classes)}
    return Weights(path, tensors, header, is_caffe=False)


def classes(model: Network, weights: Weights) -> int:
    """Returns the number of classes in a file for the network; 0 if it has no last layer."""
    if weights.header:
        return int(weights.header["num_classes"])
    biases = (f"{naming('head')}.bias" for naming in namings(model))
    return next((weights.tensors[name].size for name in biases if name in weights.tensors), 0)


def to_variables(
    model: Network, weights: Weights, *, head: bool, key: jax.Array | None = None, channels: int = 3
) -> dict[str, Any]:
    """Converts weights to variables of the network; arguments and errors are those of `load_weights`."""
    wanted = _shapes(model, channels)
    beyond = []
    if model.features_only:
        whole = _shapes(model.clone(features_only=False, out_indices=None), channels)
        beyond = [path for path in whole if path not in wanted]
    names = _names(model, [*wanted, *beyond, *_HEAD], weights)
    left_out = beyond + ([] if head and not wanted.keys().isdisjoint(_HEAD) else [*_HEAD])
    tensors, found, missing, misshapen = dict(weights.tensors), {}, [], []
    for path in left_out:
        tensors.pop(names[path], None)
    for path in wanted.keys() - {*left_out}:
        name, shape = names[path], wanted[path].shape
        if name not in tensors:
            missing.append(name)
            continue
        tensor = tensors.pop(name)
        array = tensor if weights.header else _our_layout(tensor, len(shape))
        if len(shape) == 4 and channels == 1 and array.shape == (*shape[:2], 3, shape[3]):
            array = array.sum(2, keepdims=True)
        if array.shape == shape:
            found[path] = jnp.asarray(array, wanted[path].dtype)
        else:
            misshapen.append(f"{name} {tensor.shape}, which makes {array.shape} and not {shape}")
    faults = {"missing": missing, "surplus": tensors, "of another shape": misshapen}
    if any(faults.values()):
        listed = "; ".join(f"{kind}: {some(sorted(items), _MOST_LISTED)}" for kind, items in faults.items() if items)
        said = f", but says that they are those of {weights.header['model']}" if weights.header else ""
        of_head = {names[path] for path in _HEAD}
        others = [*missing, *tensors, *(text.partition(" ")[0] for text in misshapen)]
        hint = "; head=False initialises the last layer" if of_head.issuperset(others) else ""
        raise ValueError(
            f"{weights.path} does not hold the weights of this {type(model).__name__}{said}; {listed}{hint}"
        )
    if not wanted.keys().isdisjoint(left_out):
        found |= _initial_head(model, jax.random.key(0) if key is None else key, channels)
    return traverse_util.unflatten_dict(found, sep="/")


def _shapes(model: Network, channels: int) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns shape and dtype of each variable, by its path, such as "params/stage2_block1/conv1/kernel"."""
    variables = abstract_variables(model, jax.ShapeDtypeStruct((1, 224, 224, channels), jnp.float32), train=False)
    flat: Any = traverse_util.flatten_dict(variables, sep="/")
    return flat


def _initial_head(model: Network, key: jax.Array, channels: int) -> dict[str, jax.Array]:
    images = jnp.zeros((1, 224, 224, channels))
    head = jax.jit(lambda: model.init(key, images, train=False)["params"]["head"])()
    return {f"params/head/{name}": array for name, array in head.items()}


def _names(model: Network, paths: Iterable[str], weights: Weights) -> dict[str, str]:
    """Returns the file's name of each variable, by the known naming that finds most of them."""
    if weights.header:
        return {path: path for path in paths}
    candidates = [tensor_names(naming, paths) for naming in namings(model)]
    return max(candidates, key=lambda names: len(set(names.values()) & weights.tensors.keys()))


def _our_layout(tensor: np.ndarray, dimensions: int) -> np.ndarray:
    """Returns (out, in, h, w) as (h, w, in, out), (out, in) as (in, out); a 1x1 convolution can be a dense layer."""
    if dimensions == 2 and tensor.shape[2:] == (1, 1):
        tensor = tensor[..., 0, 0]
    return tensor.transpose(*range(2, tensor.ndim), 1, 0) if tensor.ndim > 1 else tensor
