"""timm's networks under its names; tests/parity compares their outputs."""

import csv
from pathlib import Path

import pytest

from senet_jax import list_models
from senet_jax.models.timm import NETWORKS

with (Path(__file__).parent / "timm_parameters.csv").open() as file:
    PARAMETERS = {name: int(parameters) for name, parameters in csv.reader(file)}
"""Counts of timm 1.0.31: `sum(p.numel() for p in timm.create_model(name).parameters())`."""
with (Path(__file__).parent / "golden/others.csv").open() as file:
    COUNTED = {name: int(parameters) for name, parameters, *_ in csv.reader(file)}
"""Parameters of the networks here; test_golden counts them."""


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_as_many_as_timm_counts(name):
    assert COUNTED[f"timm/{name}"] == PARAMETERS[name]


def test_every_network_is_counted():
    assert {f"timm/{name}" for name in PARAMETERS} == set(list_models("timm/*"))
    assert NETWORKS.keys() <= PARAMETERS.keys()


def test_nvidias_network_has_sixteen_hidden_channels_everywhere():
    assert COUNTED["nvidia/se_resnext101_32x4d"] == 45_251_128
    assert COUNTED["nvidia/resnext101_32x4d"] == 44_177_704
