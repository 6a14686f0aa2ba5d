"""A trained network from whatever holds one."""

import json
import shutil
import sys
from contextlib import closing
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from processes import run_python
from safetensors.numpy import save_file
from weights import peers
from weights.writers import state_dict

import senet_jax
from senet_jax import workdir as workdirs
from senet_jax.config import DataConfig, Experiment, ModelConfig
from senet_jax.models import create_model
from senet_jax.training.checkpoints import Checkpoints
from senet_jax.training.state import TrainState
from senet_jax.weights import Preprocessing, imagenet, runs, save_weights, source
from senet_jax.weights.configured import build_model

CONFIG = {"input_size": [3, 256, 256], "crop_pct": 0.95, "interpolation": "bicubic", "mean": [0.5] * 3, "std": [1] * 3}
NETWORK = ModelConfig("se_resnet20_cifar", ratio=8.0, gate="hard_sigmoid")


def variables_of(model, channels=3):
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 32, 32, channels)), train=False))
    leaves, tree = jax.tree.flatten(shapes)
    return tree.unflatten([np.full(leaf.shape, number, np.float32) for number, leaf in enumerate(leaves)])


@pytest.fixture
def small(monkeypatch):
    """Networks of timm are small ones."""

    def build(config, num_classes):
        assert config == ModelConfig("timm/legacy_seresnet50")
        return create_model(config.name, num_classes, **peers.SMALL)

    monkeypatch.setattr(source, "build_model", build)


@pytest.fixture
def workdir(tmp_path):
    """A run on grey images of three classes, with two checkpoints."""
    config = Experiment(model=NETWORK, data=DataConfig(mean=(0.25,), image_size=32, center_crop=0.5))
    (tmp_path / workdirs.NETWORK).write_text(runs.describe(config, ("cat", "dog", "owl"), 1))
    variables = variables_of(build_model(NETWORK, 3), channels=1)
    with closing(Checkpoints(tmp_path)) as checkpoints:
        for step in (2, 7):
            state = TrainState(np.int32(step), variables, {"momentum": np.ones(3)}, None, {"loss": np.float32(0)}, {})
            average = jax.tree.map(lambda leaf, step=step: leaf + step, variables)
            checkpoints.save(step, state.replace(average=average if step == 7 else None), config)
    return tmp_path, variables


def test_a_workdir(workdir):
    path, variables = workdir
    newest, earlier = senet_jax.load(path), senet_jax.load(str(path), step=2)
    jax.tree.map(np.testing.assert_array_equal, earlier.variables, variables)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b + 7), newest.variables, variables)
    assert newest.class_names == ("cat", "dog", "owl")
    assert newest.preprocessing == Preprocessing(32, 0.5, "bilinear", (0.25,), (0.25,))
    assert newest.preprocessing(np.zeros((40, 50, 3), np.uint8)).shape == (32, 32, 1)
    assert (newest.config, repr(newest.network)) == (NETWORK, repr(build_model(NETWORK, 3)))
    assert (newest.source, earlier.source) == (f"{path.name}, step 7", f"{path.name}, step 2")


@pytest.mark.slow
def test_a_workdir_of_other_classes_has_a_new_last_layer(workdir):
    path, variables = workdir
    loaded = senet_jax.load(path, step=2, num_classes=5)
    assert loaded.variables["params"].pop("head")["kernel"].shape == (64, 5)
    del variables["params"]["head"]
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, variables)
    assert loaded.class_names == ()


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (3, "has no checkpoint of step 3; it has 2, 7, newest"),
        ("best", "has no best.safetensors: no evaluation"),
        ("bset", "step is 'bset'; it must be 'newest', 'best' or the number of a step"),
    ],
)
def test_a_missing_step(step, message, workdir):
    with pytest.raises(ValueError, match=message):
        senet_jax.load(workdir[0], step=step)


def test_a_model_that_is_not_the_runs(workdir):
    with pytest.raises(
        ValueError, match=r"model is 'resnet18', but the run in .* is of se_resnet20_cifar; leave model"
    ):
        senet_jax.load(workdir[0], model="resnet18")


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_damaged_checkpoint_is_named_with_the_others(damage, workdir):
    damage(workdir[0] / "checkpoints" / "7" / "state" / "_METADATA")
    with pytest.raises(
        ValueError, match=r"the checkpoint of step 7 in .* is damaged: .*; there are also those of step 2"
    ):
        senet_jax.load(workdir[0])


def test_a_missing_package_is_no_damage(workdir, monkeypatch):
    monkeypatch.setitem(sys.modules, "xxhash", None)
    with pytest.raises(ModuleNotFoundError, match="this needs xxhash, which is not installed: pip install xxhash"):
        senet_jax.load(workdir[0])


def test_create_model_names_the_function_for_a_workdir(workdir):
    with pytest.raises(FileNotFoundError, match=r"is the workdir of a run; senet_jax.load makes its network"):
        senet_jax.create_model("se_resnet20_cifar", weights=workdir[0])


def test_a_copy_with_the_name_of_another_step_is_refused(workdir):
    shutil.copytree(workdir[0] / "checkpoints/2", workdir[0] / "checkpoints/9")
    with pytest.raises(ValueError, match=r"the checkpoint of step 9 in .* is damaged: .*it is that of step 2; there"):
        senet_jax.load(workdir[0])


def test_a_workdir_is_read_without_the_packages_of_training(workdir):
    packages = ("tensorflow_datasets", "grain", "optax")
    code = f"""import sys
for name in {packages}:
    sys.modules[name] = None
import senet_jax
print(senet_jax.load({str(workdir[0])!r}).source)"""
    done = run_python(code)
    assert done.stdout.endswith("step 7\n")


def test_a_file_of_ours_names_its_network(tmp_path):
    path, variables, images = tmp_path / "a.safetensors", variables_of(build_model(NETWORK, 3)), Preprocessing(32)
    names = ("cat", "dog", "owl")
    save_weights(path, variables, model=NETWORK, preprocessing=images, source="here", class_names=names)
    loaded = senet_jax.load(path)
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, variables)
    assert (loaded.config, loaded.preprocessing, loaded.class_names, loaded.source) == (NETWORK, images, names, "here")
    grey = senet_jax.load(path, channels=1)
    kernel = variables["params"]["stem"]["conv"]["kernel"]
    np.testing.assert_array_equal(grey.variables["params"]["stem"]["conv"]["kernel"], kernel.sum(2, keepdims=True))
    assert grey.preprocessing.mean == pytest.approx([0.449], abs=1e-6)
    with pytest.raises(ValueError, match=r"channels is 2; these weights take images of 3, or of 1"):
        senet_jax.load(path, channels=2)
    with pytest.raises(ValueError, match="top is 0; it must be 1 or more"):
        loaded.predict([np.zeros((8, 8, 3), np.uint8)], top=0)
    with pytest.raises(ValueError, match=r"step is 7, but .* is not the workdir of a run; leave step out"):
        senet_jax.load(path, step=7)


@pytest.mark.parametrize("prefix", ["", "local-dir:", "hf-hub:"])
def test_timms_folder_and_the_hub(prefix, small, hub):
    save_file(peers.cadene(), hub / "model.safetensors")
    said = {"architecture": "legacy_seresnet50", "pretrained_cfg": CONFIG, "label_names": [f"c{i}" for i in range(10)]}
    (hub / "config.json").write_text(json.dumps(said))
    loaded = senet_jax.load(f"{prefix}{'timm/small' if prefix == 'hf-hub:' else hub}")
    assert loaded.network.num_classes == 10
    assert loaded.preprocessing.image_size == 256
    assert loaded.class_names[-1] == "c9"
    (hub / "config.json").write_text(json.dumps(said | {"label_names": {str(i): f"d{i}" for i in reversed(range(10))}}))
    assert senet_jax.load(hub).class_names[-1] == "d9"
    (hub / "config.json").write_text(json.dumps(said | {"label_names": {"cat": "a cat"}}))
    with pytest.warns(UserWarning, match="have no numbers from 0; they are left out"):
        assert senet_jax.load(hub).class_names == ()
    arguments = {"num_classes": 10, "in_chans": 3, "global_pool": "avg"}  # As timm 1.0.31 writes them.
    (hub / "config.json").write_text(json.dumps(said | {"model_args": arguments}))
    assert senet_jax.load(hub).network.num_classes == 10
    (hub / "config.json").write_text(json.dumps(said | {"model_args": {"stem_width": 3}}))
    with pytest.raises(ValueError, match=r"model_args {'stem_width': 3}, which are not understood"):
        senet_jax.load(hub)
    (hub / "config.json").write_text(json.dumps({"architecture": "seresnet50"}))
    with pytest.raises(ValueError, match="of timm/seresnet50, which computes something else than timm/legacy_sere"):
        senet_jax.load(hub, model="timm/legacy_seresnet50")


@pytest.mark.filterwarnings("ignore:.*does not say")
def test_a_file_that_does_not_say_which_network_it_is_of(small, tmp_path):
    path = tmp_path / "seresnet50.pth"
    path.write_bytes(state_dict(peers.cadene()))
    with pytest.raises(ValueError, match=r"does not say which network it is of; give .* model='timm/seresnet50'"):
        senet_jax.load(path)
    assert senet_jax.load(path, model="timm/legacy_seresnet50").network.num_classes == 10


def test_a_folder_without_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has neither model.safetensors nor pytorch_model.bin"):
        senet_jax.load(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ValueError, match=r"has no network\.json; `train --workdir="):
        senet_jax.load(tmp_path)


def test_imagenet():
    names = imagenet.class_names()
    assert len(names) == 1000
    assert names[0] == "tench, Tinca tinca"
    assert imagenet.described("n02110958") == "pug, pug-dog"
    assert imagenet.described("cat") == "cat"
