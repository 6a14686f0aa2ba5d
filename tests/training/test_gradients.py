"""Gradients of the training step that users compile, fused against plain batch normalisation, in float64."""

import pytest
from benchmarks.gradient_check import CASES, LIMIT, errors, gradients

QUICK = ("se_mobilenet", "se_resnet50")
"""Wrong with the compiled program of af4f92b."""


def assert_right(name, *, group, devices):
    expected = gradients(name, group=group, fused=False, devices=1)
    found = errors(gradients(name, group=group, fused=True, devices=devices), expected)
    assert max(found.values()) < LIMIT, sorted(found.items(), key=lambda item: -item[1])[:5]


@pytest.mark.parametrize("name", QUICK)
def test_gradients_of_the_fused_step_equal_those_of_the_plain_one(name, x64):
    assert_right(name, group=None, devices=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_gradients_of_every_family_on_four_devices(name, x64):
    assert_right(name, group=4, devices=4)
