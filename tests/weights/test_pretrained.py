"""Networks with their weights, from files and from a hub, which this machine serves to Hugging Face's own client."""

import contextlib
import hashlib
import json
import sys
from pathlib import Path

import huggingface_hub
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError
from processes import run_python
from random_variables import random_variables
from safetensors.numpy import save_file
from weights import peers
from weights.writers import caffe_model, state_dict

import senet_jax
from senet_jax.config import ModelConfig
from senet_jax.models import Network
from senet_jax.weights import Preprocessing, load_weights, pretrained, save_weights
from senet_jax.weights.configured import build_model
from senet_jax.weights.load import Weights
from senet_jax.weights.preprocessing import CAFFE
from senet_jax.weights.pretrained import check_network, digest, hub_config

CONFIG = {"input_size": [3, 256, 256], "crop_pct": 0.95, "interpolation": "bicubic", "mean": [0.5] * 3, "std": [1] * 3}
SAID = Preprocessing(256, 0.95, "bicubic", (0.5,) * 3, (1,) * 3)


def small(num_classes=None, name="timm/legacy_seresnet50", **arguments):
    return senet_jax.create_model(name, num_classes, **peers.SMALL | arguments)


def test_without_weights_it_is_the_network_alone():
    assert isinstance(small(), Network)
    assert small(7).num_classes == 7
    packages = ("safetensors", "huggingface_hub", "google.protobuf", "PIL")
    code = f"import sys, senet_jax; senet_jax.create_model('senet154'); print({set(packages)} & sys.modules.keys())"
    done = run_python(code)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_repository(name, hub):
    content = peers.cadene()
    if name == "model.safetensors":
        save_file(content, hub / name)
    else:
        (hub / name).write_bytes(state_dict(content))
    (hub / "config.json").write_text(json.dumps({"architecture": "small", "pretrained_cfg": CONFIG}))
    model, variables, images, source = small(weights="timm/small")
    assert model.num_classes == 10
    jax.tree.map(np.testing.assert_array_equal, variables, load_weights(small(10), hub / name))
    assert images == SAID
    assert source == f"timm/small, SHA-256 {hashlib.sha256((hub / name).read_bytes()).hexdigest()}"


def test_a_file_whose_name_has_another_digest_is_refused(tmp_path):
    path = tmp_path / f"small-{hashlib.sha256(b'weights').hexdigest()[:8]}.pth.tar"
    path.write_bytes(b"weights")
    assert digest(path).startswith(path.name[6:14])
    path.write_bytes(b"Weights")
    with pytest.raises(ValueError, match=r"small-.* is damaged or misnamed: its SHA-256 begins with \w{8}, not with"):
        digest(path)


@pytest.mark.parametrize("name", ["model-20240131", "checkpoint-00010000"])
def test_a_number_in_a_name_is_no_digest(name, tmp_path):
    path = tmp_path / f"{name}.safetensors"
    path.write_bytes(b"weights")
    assert digest(path) == hashlib.sha256(b"weights").hexdigest()


@pytest.mark.filterwarnings("ignore:.*does not say")
def test_weights_of_timms_network_are_not_those_of_ours(hub):
    save_file(peers.cadene(), hub / "model.safetensors")
    (hub / "config.json").write_text(json.dumps({"architecture": "seresnet50"}))
    message = "is of timm/seresnet50, which computes something else than timm/legacy_seresnet50; give 'timm/seresnet"
    with pytest.raises(ValueError, match=message):
        small(weights=hub)
    (hub / "config.json").write_text(json.dumps({"architecture": "legacy_seresnet50"}))
    small(weights=hub, name="se_resnet50")  # The same network.
    said = {"architecture": "legacy_seresnet50", "model_args": {"act_layer": "silu"}}
    (hub / "config.json").write_text(json.dumps(said))
    with pytest.raises(
        ValueError, match=r"with timm's model_args {'act_layer': 'silu'}, which are not understood here"
    ):
        small(weights=hub)


@pytest.mark.parametrize(
    ("own", "name", "same"), [("timm/resnet18", "resnet18", False), ("resnet18", "se_resnet18", True)]
)
def test_a_file_of_ours_is_of_its_network_whatever_its_attention(own, name, same):
    file = Weights(Path("a"), {}, {"model": own}, is_caffe=False)
    with contextlib.nullcontext() if same else pytest.raises(ValueError, match=f"a is of {own}, which computes some"):
        check_network(name, file)


def test_the_oldest_config_of_timm_says_the_images(tmp_path):
    said = {"architecture": "seresnet18", "input_size": [3, 64, 64], "mean": [0.5, 0.5, 0.5], "labels": ["cat", "dog"]}
    (tmp_path / "config.json").write_text(json.dumps(said))
    found = hub_config(tmp_path / "model.safetensors")
    assert (found["architecture"], found["label_names"]) == ("seresnet18", ["cat", "dog"])
    assert found["pretrained_cfg"]["mean"] == [0.5, 0.5, 0.5]


def test_an_empty_repository_and_none(hub):
    message = r"there is no .*timm/{}, .* \({}"
    with pytest.raises(
        OSError, match=message.format("small", "it has neither model.safetensors nor pytorch_model.bin")
    ):
        small(weights="timm/small")
    with pytest.raises(OSError, match=message.format("absent", "RepositoryNotFoundError: 404")):
        small(weights="timm/absent")


@pytest.mark.parametrize("error", [LocalEntryNotFoundError("no\nnetwork"), RuntimeError("no\nnetwork")])
def test_a_hub_that_cannot_be_reached(error, hub, monkeypatch):
    asked = []

    def download(repository, name):
        asked.append(name)
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    message = (
        r"there is no .*/timm/small, and 'timm/small' could not be fetched from Hugging Face "
        rf"\({type(error).__name__}: no network\); "
        r".* download model.safetensors and config.json from https://huggingface.co/timm/small elsewhere"
    )
    with pytest.raises(OSError, match=message):
        small(weights="timm/small")
    assert asked == ["model.safetensors"]  # Each attempt takes half a minute.


def test_a_local_path_may_contain_colons(tmp_path):
    (tmp_path / "12:30").mkdir()
    (tmp_path / "12:30" / "model.safetensors").touch()
    found, _ = pretrained.located(f"local-dir:{tmp_path / '12:30'}")
    assert found == tmp_path / "12:30" / "model.safetensors"


@pytest.mark.parametrize("path", ["absent", "runs/absent.pth", "../absent/file", "small/"])
def test_paths_are_not_fetched(path, hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_: pytest.fail("asked"))
    with pytest.raises(OSError, match=path.rstrip("/")):
        small(weights=path)


def test_a_missing_package_is_named(hub, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModuleNotFoundError, match=r"there is no .*/timm/small, .*pip install huggingface_hub"):
        small(weights="timm/small")


@pytest.mark.slow
def test_preprocessing_of_a_file(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(state_dict(peers.cadene()))
    usual = "weights.pth does not say how its images were prepared; the usual for timm/legacy_seresnet50 is assumed"
    with pytest.warns(UserWarning, match=usual):
        found = small(weights=path)
    assert found.preprocessing == Preprocessing()
    assert found.source.startswith("weights.pth, SHA-256 ")
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": CONFIG}))
    found = small(weights=str(path))
    assert found.preprocessing == SAID
    ours = tmp_path / "ours.safetensors"
    images = Preprocessing(96)
    save_weights(ours, found.variables, model="timm/legacy_seresnet50", preprocessing=images, source="somewhere")
    again = small(weights=ours)
    assert (again.preprocessing, again.source) == (Preprocessing(96), "somewhere")
    jax.tree.map(np.testing.assert_array_equal, again.variables, found.variables)
    for text, fault in (
        ('{"pretrained_cfg": ', "JSONDecodeError"),
        ('{"pretrained_cfg": {"a": 1}}', "KeyError"),
        (json.dumps({"pretrained_cfg": CONFIG | {"mean": 0.5}}), "TypeError"),
        ('{"pretrained_cfg": "x"}', "its pretrained_cfg is 'x', and no dictionary"),
        ('{"model_args": ["x"]}', "its model_args is "),
    ):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ValueError, match=rf"config\.json cannot be read as timm's: {fault}"):
            small(weights=path)


def test_preprocessing_of_the_authors(tmp_path, monkeypatch):
    (tmp_path / "x.caffemodel").write_bytes(caffe_model({"classifier": [np.zeros((3, 4), "<f4"), np.zeros(3, "<f4")]}))
    monkeypatch.setattr(pretrained, "to_variables", lambda *_, **__: {})
    found = small(weights=tmp_path / "x.caffemodel")
    assert found.preprocessing == CAFFE
    assert found.model.num_classes == 3


@pytest.mark.parametrize(
    ("name", "size", "interpolation", "mean"),
    [
        ("timm/seresnet50", 224, "bicubic", 0.485),
        ("timm/legacy_seresnext50_32x4d", 224, "bilinear", 0.485),
        ("timm/legacy_seresnext26_32x4d", 224, "bicubic", 0.485),
        ("timm/vgg16_bn", 224, "bilinear", 0.485),
        ("timm/inception_resnet_v2", 299, "bicubic", 0.5),
        ("nvidia/se_resnext101_32x4d", 224, "bilinear", 0.485),
        ("senet154", 224, "bilinear", 0.485),
    ],
)
def test_the_usual_preprocessing(name, size, interpolation, mean):
    usual = pretrained._usual(name)
    assert (usual.image_size, usual.interpolation, usual.mean[0]) == (size, interpolation, mean)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*does not say")
@pytest.mark.parametrize("ours", [False, True])
def test_another_number_of_classes_makes_the_last_layer_anew(ours, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(peers.cadene(), path)
    ten = small(weights=path)
    if ours:
        save_weights(path, ten.variables, model="timm/legacy_seresnet50", preprocessing=Preprocessing(), source="x")
    jax.tree.map(np.testing.assert_array_equal, small(10, weights=path).variables, ten.variables)
    seven, none = small(7, weights=path), small(0, weights=path)
    assert (seven.model.num_classes, none.model.num_classes) == (7, 0)
    assert seven.variables["params"].pop("head")["kernel"].shape == (128, 7)
    del ten.variables["params"]["head"]
    jax.tree.map(np.testing.assert_array_equal, seven.variables, ten.variables)
    jax.tree.map(np.testing.assert_array_equal, none.variables, ten.variables)


def test_a_file_of_ours_says_its_network_and_how_it_computes(tmp_path):
    path, said = tmp_path / "ours.safetensors", ModelConfig("se_resnet20_cifar", gate="tanh", placement="identity")
    network, plain_config = build_model(said, 10), ModelConfig("se_resnet20_cifar", attention="none")
    plain_variables = random_variables(build_model(plain_config, 10), jnp.ones((1, 8, 8, 1)))
    variables, images = random_variables(network, jnp.ones((1, 8, 8, 1))), Preprocessing(8, mean=(0.5,), std=(0.5,))
    save_weights(path, variables, model=said, preprocessing=images, source="x")
    found = senet_jax.create_model(said.name, weights=path)
    other = senet_jax.create_model(said.name, weights=path, attention="squeeze_excite")
    jax.tree.map(np.testing.assert_array_equal, found.variables, variables)
    assert (found.model.attention(parent=None).gate, found.model.placement) == ("tanh", "identity")
    assert other.model.attention(parent=None).gate == "sigmoid"
    assert found.preprocessing.channels == 1
    save_weights(tmp_path / "plain.safetensors", plain_variables, model=plain_config, preprocessing=images, source="x")
    assert senet_jax.load(tmp_path / "plain.safetensors", model="resnet20_cifar").network.attention is None
    message = r"ours.safetensors says that it is of se_resnet20_cifar, and not of se_resnet32_cifar; give 'se_resnet20"
    with pytest.raises(ValueError, match=message):
        senet_jax.create_model("se_resnet32_cifar", weights=path)
    with pytest.raises(ValueError, match=message):
        senet_jax.load(path, model="se_resnet32_cifar")


def test_the_file_of_another_network_is_refused(tmp_path):
    save_file({"layer0.conv1.weight": np.zeros((8, 3, 7, 7), np.float32)}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"a\.safetensors does not hold the weights of this ResNet; missing: layer0\."):
        small(weights=tmp_path / "a.safetensors")
