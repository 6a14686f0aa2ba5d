"""Datasets to batches of uint8 images, on the host."""

from senet_jax.data.batches import evaluation_batches, train_batches
from senet_jax.data.dataset import Dataset, Split, open_dataset, preview

__all__ = ["Dataset", "Split", "evaluation_batches", "open_dataset", "preview", "train_batches"]
