"""The networks, one file a family, and the registry of their names."""

from senet_jax.models.registry import create_model, list_models
from senet_jax.models.resnet import ResNet

__all__ = ["ResNet", "create_model", "list_models"]
