"""timm's networks under its names; tests/parity has what they answer."""

import csv
from pathlib import Path

import pytest
from models.trees import count, tree

from senet_jax import list_models
from senet_jax.models.timm import NETWORKS

with (Path(__file__).parent / "timm_parameters.csv").open() as file:
    PARAMETERS = {name: int(parameters) for name, parameters in csv.reader(file)}
"""What timm 1.0.31 itself counts: `sum(p.numel() for p in timm.create_model(name).parameters())`."""


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_as_many_as_timm_counts(name):
    assert count(tree(f"timm/{name}")["params"]) == PARAMETERS[name]


def test_every_network_is_counted():
    assert {f"timm/{name}" for name in PARAMETERS} == set(list_models("timm/*"))
    assert NETWORKS.keys() <= PARAMETERS.keys()


def test_nvidias_network_has_sixteen_hidden_channels_everywhere():
    assert count(tree("nvidia/se_resnext101_32x4d")["params"]) == 45_251_128
    assert count(tree("nvidia/resnext101_32x4d")["params"]) == 44_177_704
