"""Trained parameters, other people's and our own, and the preprocessing of their images."""

from senet_jax.weights.load import load_weights, save_weights
from senet_jax.weights.preprocessing import Preprocessing
from senet_jax.weights.pretrained import Pretrained, create_model
from senet_jax.weights.source import Loaded

__all__ = ["Loaded", "Preprocessing", "Pretrained", "create_model", "load_weights", "save_weights"]
