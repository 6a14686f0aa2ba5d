"""Folders in timm's format; that timm loads them is shown in docs/weights.md."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_variables import random_variables

import senet_jax
from senet_jax import load
from senet_jax.config import ModelConfig
from senet_jax.models import create_model
from senet_jax.models.parameters import abstract_variables
from senet_jax.weights import Preprocessing
from senet_jax.weights.files import read_tensors
from senet_jax.weights.source import Loaded
from senet_jax.weights.timm_folder import check, write_folder

IMAGES = Preprocessing(160, 0.9, "bicubic", (0.5, 0.25, 0.125), (1, 1, 2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("seresnet18", "conv1", "fc"),
        ("seresnext26t_32x4d", "conv1.0", "fc"),
        ("legacy_seresnet18", "layer0.conv1", "last_linear"),
        ("seresnext26ts", "stem.conv1.conv", "head.fc"),
    ],
)
def test_a_written_folder_is_read_again(name, first, last, tmp_path):
    network = create_model(f"timm/{name}", 3)
    shapes = abstract_variables(network, jax.ShapeDtypeStruct((1, 224, 224, 3), np.float32), train=False)
    random = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: random.normal(size=leaf.shape).astype(leaf.dtype), shapes)
    config = ModelConfig(f"timm/{name}")
    names = ("cat", "dog", "bird")
    write_folder(tmp_path / "out", Loaded(network, variables, IMAGES, names, config, "test"))
    loaded = load(f"local-dir:{tmp_path / 'out'}")
    assert (loaded.config, loaded.preprocessing, loaded.class_names) == (config, IMAGES, names)
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, variables)
    said = json.loads((tmp_path / "out/config.json").read_text())
    assert (said["architecture"], said["num_classes"]) == (name, 3)
    assert (said["pretrained_cfg"]["first_conv"], said["pretrained_cfg"]["classifier"]) == (first, last)
    tensors, _ = read_tensors(tmp_path / "out/model.safetensors")
    squeezed = [array.shape for key, array in tensors.items() if "fc1.weight" in key]
    assert squeezed
    assert all(shape[2:] == (1, 1) for shape in squeezed)


def test_a_grey_networks_folder_says_its_channels(tmp_path):
    network, config = create_model("timm/resnet18", 3), ModelConfig("timm/resnet18")
    variables, images = random_variables(network, jnp.ones((1, 32, 32, 1))), Preprocessing(32, mean=(0.5,), std=(0.5,))
    write_folder(tmp_path / "out", Loaded(network, variables, images, (), config, "test"))
    for found in (load(tmp_path / "out"), senet_jax.create_model("timm/resnet18", weights=tmp_path / "out")):
        jax.tree.map(np.testing.assert_array_equal, found.variables, variables)
        assert found.preprocessing.channels == 1


def test_fields_of_training_alone_are_allowed():
    check(ModelConfig("timm/seresnet18", dtype="bfloat16", drop_path=0.1, remat=True, statistics_group=8))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ModelConfig("se_resnet50"), "a network of timm, named timm/..., and this one is se_resnet50; write --output"),
        (
            ModelConfig("timm/seresnet18", ratio=4),
            "timm/seresnet18 as timm builds it, .* another config.model.ratio; w",
        ),
    ],
)
def test_networks_that_timm_does_not_build_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        check(config)
