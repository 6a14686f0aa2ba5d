"""Attention: SE against later attention modules, each as its own paper has it, three seeds each.

Command:  python launch.py sweep --config=experiments/ablations/attention.py; see base.py
Paper:    has none of them; ECA's own (arXiv 1910.03151, table 2) is with another recipe
"""

from senet_jax.config import Experiment
from senet_jax.experiments.ablations import base
from senet_jax.sweep import Sweep, axis, chain, product, seeds, variant


def get_config(dataset: str = "cifar10") -> Experiment:
    """Returns the base of the ablations with biases, which some modules always have."""
    config = base.get_config(dataset)
    config.model.use_bias = True
    return config


def sweep() -> Sweep:
    """24 runs. A sixteenth of 16 channels would be one, which global context cannot normalise."""
    modules = ["squeeze_excite", "effective", "eca", "scse", "cbam", "gather_excite"]
    context = variant("global_context, ratio=4", {"model.attention": "global_context", "model.ratio": 4})
    return product(chain(base.NO_SE, axis("model.attention", modules), context), seeds(3)).against("no SE")
