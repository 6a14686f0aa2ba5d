import importlib
import subprocess

import pytest

from senet_jax.commands.config_files import EXPERIMENTS
from senet_jax.schema import flatten, validate
from senet_jax.sweep import resolve
from senet_jax.training.optimizer import make_schedule
from senet_jax.weights.configured import build_model

LAUNCHERS = sorted((EXPERIMENTS / "launchers").glob("*.sh"))
FILES = [path.relative_to(EXPERIMENTS).with_suffix("").as_posix() for path in sorted(EXPERIMENTS.rglob("*.py"))]


def load(name):
    return importlib.import_module(f"senet_jax.experiments.{name.replace('/', '.')}").get_config()


@pytest.mark.parametrize("name", FILES)
def test_every_experiment_and_variant_of_its_sweep_is_possible(name):
    module = importlib.import_module(f"senet_jax.experiments.{name.replace('/', '.')}")
    variants = resolve(module.get_config(), module.sweep()) if hasattr(module, "sweep") else {}
    for config in (module.get_config(), *variants.values()):
        validate(config)
        build_model(config.model, num_classes=10)


@pytest.mark.parametrize("kind", ["lars", "lamb", "nesterov"])
def test_every_large_batch_is_possible_and_its_rate_grows_with_it(kind):
    module = importlib.import_module("senet_jax.experiments.imagenet.large_batches")
    configs = [module.get_config(f"{kind}-{batch}") for batch in ("4k", "8k", "16k", "32k")]
    for config in configs:
        validate(config)
        make_schedule(config.optimizer, total_steps=int(90e4), steps_per_epoch=1e4)
    rates = [config.optimizer.learning_rate for config in configs]
    assert rates == sorted(rates)
    assert [config.batch_size for config in configs] == [4096, 8192, 16384, 32768]
    with pytest.raises(ValueError, match="the recipe is 'adam-8k'; it must be one of lars, lamb, nesterov"):
        module.get_config("adam-8k")


def test_the_plain_twin_differs_in_the_network_alone():
    plain, with_se = flatten(load("cifar10/resnet20")), flatten(load("cifar10/se_resnet20"))
    assert {name for name in plain if plain[name] != with_se[name]} == {"model.name"}


@pytest.mark.parametrize("script", LAUNCHERS, ids=lambda path: path.stem)
def test_launchers_are_bash(script):
    subprocess.run(["bash", "-n", script], check=True)
