"""Gradients of the training step that users compile, fused against plain batch normalisation."""

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

from benchmarks.gradient_check import CASES, LIMIT, Case, errors

pytestmark = pytest.mark.optimised

QUICK = "se_resnet50"
"""Runs in the inner loop too."""


@pytest.fixture
def expected():
    """Computes the gradients of the plain step, compiled without optimisations: an independent and quicker program."""

    def gradients(case, **settings):
        jax.config.update("jax_disable_most_optimizations", True)
        try:
            return case.gradients(fused=False, **settings)
        finally:
            jax.config.update("jax_disable_most_optimizations", False)

    return gradients


def check(given, expected):
    found = errors(given, expected)
    assert max(found.values()) < LIMIT, sorted(found.items(), key=lambda item: -item[1])[:5]


@pytest.mark.parametrize(
    "name", [name if name == QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_gradients_of_every_family(name, expected, x64):
    """On one device: of the miscompiled programs of af4f92b most were wrong there, and none was on four."""
    case = CASES[name]
    check(case.gradients(fused=True, batch_size=4), expected(case, batch_size=4))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["se_mobilenet", "se_resnet50"])
def test_gradients_on_four_devices(name, expected, x64):
    case = CASES[name]
    check(case.gradients(fused=True, group=4, devices=4), expected(case, group=4))


@pytest.mark.slow
def test_a_float32_step_is_near_the_float64_one(x64):
    """The activation is smooth: one ReLU whose sign flips by rounding moves most gradients by more than 1e-4."""
    fields = {"stage_sizes": (1, 1), "widths": (64, 64), "stem_width": 64, "activation": nn.softplus}
    case = Case("se_resnet18", 32, fields)
    found = errors(case.gradients(fused=True, dtype=jnp.float32), case.gradients(fused=False))
    assert max(found.values()) < 1e-3, sorted(found.items(), key=lambda item: -item[1])[:5]
