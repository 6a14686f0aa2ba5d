"""Gradients of the training step that users compile, fused, against those of plain batch normalisation.

`gradients.npz` has projections of the plain gradients, because compiling both programs takes twice as long;
`python -m pytest -n 0 tests/training/test_gradients.py --update-golden` computes them anew, and
`python -m benchmarks.gradient_check` compares all values of both.
"""

import zlib
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from compilation import quickly
from flax import linen as nn

from benchmarks.gradient_check import CASES, LIMIT, Case, errors

pytestmark = pytest.mark.optimised

TESTED = [name for name in CASES if name not in ("se_resnet18", "se_wrn16_8_cifar", "se_resnext50_32x4d")]
"""Every family; those left out have blocks and stems of others."""
QUICK = "se_resnet50"
"""Runs in the inner loop too."""
GOLDEN = Path(__file__).parent / "gradients.npz"
ONE_DEVICE, FOUR_DEVICES = {"batch_size": 4}, {"group": 4}


def projections(name, gradient):
    """The root mean square of a gradient's magnitude, and its products with three random vectors, over sqrt(size)."""
    flat = np.asarray(gradient, np.float64).ravel()
    vectors = np.random.default_rng(zlib.crc32(name.encode())).normal(size=(3, flat.size))
    return np.array([np.linalg.norm(flat), *vectors @ flat]) / np.sqrt(flat.size)


def plain(case, **settings):
    """Gradients of the plain step, an independent program."""
    with quickly():
        return case.gradients(fused=False, **settings)


@pytest.fixture(scope="module")
def golden(request):
    """Gives the projections of the plain step's gradients: by default from the file."""
    update = request.config.getoption("--update-golden")
    known = {} if update else dict(np.load(GOLDEN))

    def get(case, **settings):
        key = f"{case.name} {settings}"
        if update:
            gradients = plain(case, **settings)
            known[key] = np.stack([projections(name, gradients[name]) for name in sorted(gradients)])
        return known[key]

    yield get
    if update and len(known) == len(TESTED) + 1:
        np.savez_compressed(GOLDEN, **known)


def check(gradients, expected):
    """Compares projections in units of the largest value of each gradient, as `errors` does values."""
    least = 1e-5 * max(np.abs(gradient).max() for gradient in gradients.values())
    assert len(gradients) == len(expected)
    found = {
        name: np.abs(projections(name, gradients[name]) - row).max() / max(np.abs(gradients[name]).max(), least)
        for name, row in zip(sorted(gradients), expected, strict=True)
    }
    assert max(found.values()) < LIMIT, sorted(found.items(), key=lambda item: -item[1])[:5]


@pytest.mark.parametrize(
    "name", [name if name == QUICK else pytest.param(name, marks=pytest.mark.slow) for name in TESTED]
)
def test_gradients_of_every_family(name, golden, x64):
    """On one device: of the miscompiled programs of af4f92b most were wrong there, and none was on four."""
    check(CASES[name].gradients(fused=True, **ONE_DEVICE), golden(CASES[name], **ONE_DEVICE))


@pytest.mark.slow
def test_gradients_on_four_devices(golden, x64):
    case = replace(CASES["se_resnet50"], fields={"stage_sizes": (1,), "widths": (8,), "stem_width": 8})
    check(case.gradients(fused=True, devices=4, **FOUR_DEVICES), golden(case, **FOUR_DEVICES))


def test_one_wrong_value_is_found():
    gradient = {"kernel": np.random.default_rng(0).normal(size=(3, 3, 64, 64))}
    expected = np.stack([projections("kernel", gradient["kernel"])])
    check(gradient, expected)
    gradient["kernel"][1, 2, 3, 4] *= 1 + 1e-5
    with pytest.raises(AssertionError, match="kernel"):
        check(gradient, expected)


@pytest.mark.slow
def test_a_float32_step_is_near_the_float64_one(x64):
    """The activation is smooth: one ReLU whose sign flips by rounding moves most gradients by more than 1e-4."""
    fields = {"stage_sizes": (1,), "widths": (64,), "stem_width": 64, "activation": nn.softplus}
    case = Case("se_resnet18", 32, fields)
    found = errors(case.gradients(fused=True, dtype=jnp.float32), plain(case))
    assert max(found.values()) < 1e-3, sorted(found.items(), key=lambda item: -item[1])[:5]
