"""Datasets to batches of uint8 images, on the host."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from senet_jax.data.batches import evaluation_batches, train_batches
    from senet_jax.data.dataset import Dataset, Split, open_dataset, preview, train_images

__all__ = ["Dataset", "Split", "evaluation_batches", "open_dataset", "preview", "train_batches", "train_images"]

_HOMES = {"evaluation_batches": "senet_jax.data.batches", "train_batches": "senet_jax.data.batches"}


def __getattr__(name: str):  # Imports on first use, because `images` needs neither TFDS nor Grain.
    if name not in __all__:
        raise AttributeError(f"module 'senet_jax.data' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, "senet_jax.data.dataset")), name)
