"""Analysis of networks and runs: parameters, cost, gates, comparisons, figures."""

from senet_jax.analysis.excitations import excitations

__all__ = ["excitations"]
