"""`launch.py` with a network that is quick to compile, for tests and benchmarks of several processes."""

import sys
from functools import partial

import jax.numpy as jnp

from senet_jax import create_model
from senet_jax.commands.command_line import main
from senet_jax.modules import BatchNorm
from senet_jax.training import plan
from senet_jax.weights import source


def small(config, num_classes):
    """Computes in float64 if JAX_ENABLE_X64 is set."""
    sizes = {"stage_sizes": (1,), "widths": (4,), "stem_width": 4}
    norm = partial(BatchNorm, group=config.statistics_group)
    return create_model(config.name, num_classes, norm=norm, dtype=jnp.result_type(float), **sizes)


plan.build_model = source.build_model = small  # In the workers of a sweep too, which import this file.

if __name__ == "__main__":
    main(sys.argv[1:])
