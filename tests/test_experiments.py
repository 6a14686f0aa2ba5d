import importlib
import subprocess

import pytest

from senet_jax import create_model
from senet_jax.commands.config_files import EXPERIMENTS
from senet_jax.schema import flatten, validate

LAUNCHERS = sorted((EXPERIMENTS / "launchers").glob("*.sh"))
FILES = [path.relative_to(EXPERIMENTS).with_suffix("").as_posix() for path in sorted(EXPERIMENTS.rglob("*.py"))]


def load(name):
    return importlib.import_module(f"senet_jax.experiments.{name.replace('/', '.')}").get_config()


@pytest.mark.parametrize("name", FILES)
def test_every_experiment_is_possible(name):
    config = load(name)
    validate(config)
    create_model(config.model.name, ratio=config.model.ratio)


def test_the_plain_twin_differs_in_the_network_alone():
    plain, with_se = flatten(load("cifar10/resnet20")), flatten(load("cifar10/se_resnet20"))
    assert {name for name in plain if plain[name] != with_se[name]} == {"model.name"}


@pytest.mark.parametrize("script", LAUNCHERS, ids=lambda path: path.stem)
def test_launchers_are_bash(script):
    subprocess.run(["bash", "-n", script], check=True)
