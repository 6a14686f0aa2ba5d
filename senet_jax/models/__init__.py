"""The networks, one file a family, and the registry of their names."""

from senet_jax.models.network import Network
from senet_jax.models.registry import create_model, default_input, list_models
from senet_jax.models.resnet import ResNet

__all__ = ["Network", "ResNet", "create_model", "default_input", "list_models"]
