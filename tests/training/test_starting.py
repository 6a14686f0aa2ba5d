import dataclasses
import json

import jax
import numpy as np
import pytest
from random_variables import random_variables

from senet_jax import load
from senet_jax.config import DataConfig, Experiment, InitConfig, ModelConfig
from senet_jax.data import open_dataset
from senet_jax.training import plan
from senet_jax.training.loop import train
from senet_jax.training.starting import _keeps_head, read_start
from senet_jax.weights import Preprocessing, imagenet, save_weights
from senet_jax.workdir import INIT

pytestmark = pytest.mark.usefixtures("short_networks")

PLAIN = ModelConfig("resnet20_cifar")
SE = ModelConfig("se_resnet20_cifar", ratio=4)
IMAGES = jax.random.normal(jax.random.key(1), (8, 8, 8, 1))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return open_dataset(DataConfig(data_dir=str(tmp_path_factory.mktemp("digits"))))


@pytest.fixture(scope="module")
def weights(tmp_path_factory, dataset):
    """A function that writes a network of these classes, and returns its file."""

    def write(class_names=dataset.class_names, model=PLAIN):
        path = tmp_path_factory.mktemp("weights") / "plain.safetensors"
        variables = random_variables(plan.build_model(model, len(class_names)), IMAGES)
        images = Preprocessing(8, 1, "bilinear", (0.5,), (0.25,))
        save_weights(path, variables, model=model, preprocessing=images, source="test", class_names=class_names)
        return str(path)

    return write


def start(dataset, model, **init):
    config = Experiment(model=model, init=InitConfig(**init))
    network = plan.build_model(model, dataset.num_classes)
    return network, read_start(config, network, dataset)


def test_weights_of_none_are_random_values(dataset):
    assert start(dataset, PLAIN)[1] is None


@pytest.mark.slow
@pytest.mark.optimised
def test_a_plain_network_gets_its_blocks_and_computes_the_same(dataset, weights):
    path = weights()
    network, given = start(dataset, SE, weights=path, insert_se=True)
    assert given is not None
    variables, said, images = given
    assert images.endswith("as the weights were trained with")
    plain = load(path)
    given, expected = (
        jax.jit(lambda variables, network=network: network.apply(variables, IMAGES, train=False))(variables)
        for network, variables in ((network, variables), (plain.network, plain.variables))
    )
    np.testing.assert_array_equal(given, expected)
    assert said.endswith("its last layer included (its classes are the dataset's), with SE blocks put in")
    assert "plain.safetensors, SHA-256 " in said


@pytest.mark.slow
def test_the_last_layer_is_new_if_the_classes_are_others(dataset, weights):
    same, other, fewer = weights(), weights([f"class {i}" for i in range(10)]), weights(["cat", "dog"])
    loaded = load(same).variables["params"]

    def head(path, **init):
        _, given = start(dataset, PLAIN, weights=path, **init)
        assert given is not None
        return given.variables["params"]

    for given in (head(same), head(same, head="keep")):
        jax.tree.map(np.testing.assert_array_equal, given, loaded)
    for path, given in ((same, head(same, head="new")), (other, head(other)), (fewer, head(fewer))):
        loaded = load(path).variables["params"]
        assert given["head"]["kernel"].shape == (64, 10)
        assert given["head"]["kernel"].tolist() != loaded["head"]["kernel"].tolist()
        np.testing.assert_array_equal(given["stem"]["conv"]["kernel"], loaded["stem"]["conv"]["kernel"])
    with pytest.raises(ValueError, match="'keep', but the weights are of 2 classes: cat, dog, and the dataset has 10"):
        head(fewer, head="keep")


def test_classes_without_names_are_imagenets_if_they_are_a_thousand(dataset):
    numbers = {name: f"tench{i}" for i, name in enumerate(imagenet.wordnet_numbers())}
    reasons = {}
    for said, names in (("ImageNet", tuple(numbers)), ("names", imagenet.class_names()), ("others", numbers.values())):
        thousand = dataclasses.replace(dataset, class_names=tuple(names))
        reasons[said] = [_keeps_head(head, 1000, (), thousand) for head in ("auto", "keep")]
    own = "its classes are the dataset's"
    trusted = "its 1,000 classes have no names and are taken for the dataset's"
    assert reasons["ImageNet"] == reasons["names"] == [(True, own), (True, trusted)]
    other = "class 0 of theirs is 'tench, Tinca tinca', and the dataset's is 'tench0'"
    assert reasons["others"] == [(False, other), (True, trusted)]
    assert _keeps_head("auto", 10, (), dataset) == (True, trusted.replace("1,000", "10"))
    assert _keeps_head("auto", 9, (), dataset) == (False, "theirs is of 9 classes, and the dataset has 10")


def test_weights_that_do_not_fit_are_one_error(dataset, weights, tmp_path):
    with pytest.raises(ValueError, match=r"missing: .*/se/.*; --config.init.insert_se puts SE into weights of the"):
        start(dataset, SE, weights=weights())
    with pytest.raises(ValueError, match=r"surplus: .*/se/.*; weights that have SE are read without --config.init.in"):
        start(dataset, SE, weights=weights(model=SE), insert_se=True)
    with pytest.raises(ValueError, match=r"config.init.insert_se is true, and .*, has no attention; give its"):
        start(dataset, PLAIN, weights=weights(), insert_se=True)
    with pytest.raises(OSError, match=r"config.init.weights is '.*nothing'"):
        start(dataset, PLAIN, weights=str(tmp_path / "nothing"))


@pytest.mark.slow
def test_a_run_starts_from_them_and_says_so(dataset, weights, tmp_path, capsys):
    config = Experiment(PLAIN, init=InitConfig(weights()), duration="1 steps", batch_size=128, eval_every="1 steps")
    config.optimizer.learning_rate = 1e-9
    train(plan.make_plan(config, dataset), tmp_path)
    said = json.loads((tmp_path / INIT).read_text())["weights"]
    assert f"starts from {said}" in capsys.readouterr().out
    given, expected = load(tmp_path / "best.safetensors"), load(config.init.weights)
    near = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6)  # noqa: E731
    jax.tree.map(near, given.variables["params"], expected.variables["params"])
