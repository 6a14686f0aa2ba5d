"""A folder in timm's format, which `timm.create_model("local-dir:FOLDER", pretrained=True)` loads."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

from senet_jax.config import ModelConfig
from senet_jax.models import Network
from senet_jax.weights.files import write_tensors
from senet_jax.weights.names import tensor_names, timm_naming
from senet_jax.weights.preprocessing import Preprocessing

PREFIX = "timm/"


def check(config: ModelConfig) -> None:
    """Raises ValueError if timm has no such network."""
    if not config.name.startswith(PREFIX) or config != ModelConfig(config.name):
        changed = "" if config.name.startswith(PREFIX) else f", whose networks are called {PREFIX}..."
        raise ValueError(
            f"the network is {config.name} by its configuration, and a folder is of one as timm builds it{changed}; "
            "take --output=FILE.safetensors"
        )


def write_folder(
    folder: Path,
    network: Network,
    variables: dict[str, Any],
    *,
    config: ModelConfig,
    preprocessing: Preprocessing,
    class_names: Sequence[str] = (),
) -> None:
    """Writes `model.safetensors`, by timm's names and in PyTorch's layout, and `config.json` into a new folder.

    Raises ValueError if timm has no such network.
    """
    check(config)
    arrays = {"/".join(path): np.asarray(array) for path, array in flatten_dict(variables).items()}
    names = tensor_names(timm_naming(config.name.removeprefix(PREFIX), network), arrays)
    described = {
        "architecture": config.name.removeprefix(PREFIX),
        "num_classes": network.num_classes,
        "pretrained_cfg": preprocessing.to_timm() | {"num_classes": network.num_classes},
    }
    if class_names:
        described["label_names"] = list(class_names)
    folder.mkdir()
    write_tensors(
        folder / "model.safetensors",
        {names[path]: _their_layout(path, array) for path, array in arrays.items()},
        {"format": "pt"},
    )
    (folder / "config.json").write_text(json.dumps(described, indent=2) + "\n")


def _their_layout(path: str, array: np.ndarray) -> np.ndarray:
    """(h, w, in, out) as (out, in, h, w), (in, out) as (out, in); an SE block's dense layers are 1x1 convolutions."""
    if array.ndim < 2:
        return array
    array = array.transpose(-1, -2, *range(array.ndim - 2))
    return array[..., None, None] if "/se/" in path and array.ndim == 2 else array
