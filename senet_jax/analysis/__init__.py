"""What can be seen in a network and in a run: parameters, cost, gates, pictures."""

from senet_jax.analysis.excitations import excitations

__all__ = ["excitations"]
