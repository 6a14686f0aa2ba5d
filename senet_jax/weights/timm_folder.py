"""A folder in timm's format, which `timm.create_model("local-dir:FOLDER", pretrained=True)` loads."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict

from senet_jax.config import ModelConfig
from senet_jax.models import Network
from senet_jax.models.parameters import abstract_variables
from senet_jax.weights.configured import differing
from senet_jax.weights.files import write_tensors
from senet_jax.weights.names import tensor_names, timm_naming
from senet_jax.weights.source import Loaded

PREFIX = "timm/"


def check(config: ModelConfig) -> None:
    """Raises ValueError if timm has no such network."""
    if not config.name.startswith(PREFIX):
        raise ValueError(
            f"a folder in timm's format holds a network of timm, named {PREFIX}..., and this one is {config.name}; "
            "write --output=FILE.safetensors instead"
        )
    if changed := differing(config, ModelConfig(config.name)):
        raise ValueError(
            f"a folder in timm's format holds {config.name} as timm builds it, and this one has another "
            f"config.model.{changed[0]}; write --output=FILE.safetensors instead"
        )


def write_folder(folder: Path, loaded: Loaded) -> None:
    """Writes `model.safetensors`, by timm's names and in PyTorch's layout, and `config.json` into a new folder.

    The network must be one that `check` allows.
    """
    name, network, images = loaded.config.name.removeprefix(PREFIX), loaded.network, loaded.preprocessing
    arrays = {path: np.asarray(array) for path, array in flatten_dict(loaded.variables, sep="/").items()}
    names = tensor_names(timm_naming(name, network), arrays)
    described = {
        "architecture": name,
        "num_classes": network.num_classes,
        "pretrained_cfg": images.to_timm() | _first_and_last(name, network) | {"num_classes": network.num_classes},
    }
    if images.channels != 3:
        described["model_args"] = {"in_chans": images.channels}
    if loaded.class_names:
        described["label_names"] = list(loaded.class_names)
    folder.mkdir()
    write_tensors(
        folder / "model.safetensors",
        {names[path]: _their_layout(path, array) for path, array in arrays.items()},
        {"format": "pt"},
    )
    (folder / "config.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


def _first_and_last(name: str, network: Network) -> dict[str, str]:
    """Returns timm's names of the layers that it changes for other channels and classes."""
    naming = timm_naming(name, network)
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), np.float32)
    params: Any = flatten_dict(abstract_variables(network, images, train=False)["params"], sep="/")
    first = next(path for path, array in params.items() if array.ndim == 4 and array.shape[2] == 3)
    return {"first_conv": naming(first.removesuffix("/kernel")), "classifier": naming("head")}


def _their_layout(path: str, array: np.ndarray) -> np.ndarray:
    """Returns (h, w, in, out) as (out, in, h, w), (in, out) as (out, in); SE dense layers become 1x1 convolutions."""
    if array.ndim < 2:
        return array
    array = array.transpose(-1, -2, *range(array.ndim - 2))
    return array[..., None, None] if "/se/" in path and array.ndim == 2 else array
