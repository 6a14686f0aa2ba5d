"""Weight files into variables and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file
from weights import peers
from weights.writers import state_dict

from senet_jax.models import create_model
from senet_jax.weights import Preprocessing, load_weights, save_weights
from senet_jax.weights.files import read_tensors
from senet_jax.weights.names import namings


def network(classes=10, name="timm/legacy_seresnet50", **fields):
    return create_model(name, classes, **peers.SMALL | fields)


def assert_same(a, b):
    """Bit for bit."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


@pytest.fixture
def file(tmp_path):
    save_file(peers.cadene(), tmp_path / "cadene.safetensors")
    return tmp_path / "cadene.safetensors"


def test_each_tensor_has_its_place_and_our_layout(file):
    state, variables = peers.cadene(), load_weights(network(), file)
    block, statistics = variables["params"]["stage2_block2"], variables["batch_stats"]["stage2_block2"]
    np.testing.assert_array_equal(block["conv2"]["kernel"], state["layer1.1.conv2.weight"].transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(block["se"]["reduce"]["kernel"], state["layer1.1.se_module.fc1.weight"][..., 0, 0].T)
    np.testing.assert_array_equal(block["se"]["expand"]["bias"], state["layer1.1.se_module.fc2.bias"])
    np.testing.assert_array_equal(block["norm3"]["scale"], state["layer1.1.bn3.weight"])
    np.testing.assert_array_equal(statistics["norm3"]["var"], state["layer1.1.bn3.running_var"])
    np.testing.assert_array_equal(variables["params"]["head"]["kernel"], state["last_linear.weight"].T)


def test_a_file_of_pytorch_gives_the_same(file, tmp_path):
    (tmp_path / "cadene.pth").write_bytes(state_dict(peers.cadene()))
    assert_same(load_weights(network(), tmp_path / "cadene.pth"), load_weights(network(), file))


@pytest.mark.parametrize(("block", "first"), [("layers.{}.{}", 0), ("layer{}.{}", 1)])
@pytest.mark.parametrize("se_dimensions", [2, 4])
def test_nvidia(block, first, se_dimensions, tmp_path):
    state = peers.nvidia(block, first, se_dimensions)
    (tmp_path / "nvidia.pth.tar").write_bytes(state_dict({f"module.{name}": array for name, array in state.items()}))
    model = network(None, "nvidia/se_resnext101_32x4d", widths=(16, 32, 64, 128))
    reduce = load_weights(model, tmp_path / "nvidia.pth.tar")["params"]["stage5_block1"]["se"]["reduce"]
    name = f"{block.format(3 + first, 0)}.squeeze.squeeze"
    np.testing.assert_array_equal(reduce["kernel"], state[f"{name}.weight"].reshape(16, 512).T)
    np.testing.assert_array_equal(reduce["bias"], state[f"{name}.bias"])


def test_all_that_does_not_fit_is_in_one_error(file):
    state = peers.cadene()
    state["layer1.0.conv1.weight"] = state["layer1.0.conv1.weight"][:3]
    state["layer5.0.conv1.weight"] = state.pop("layer4.0.conv1.weight")
    state["last_linear.bias"] = state.pop("layer0.bn1.running_var")
    save_file(state, file)
    with pytest.raises(ValueError, match=r"cadene.safetensors does not hold the weights of this ResNet; ") as raised:
        load_weights(network(), file)
    assert str(raised.value).partition("; ")[2] == (
        "missing: layer0.bn1.running_var, layer4.0.conv1.weight; surplus: layer5.0.conv1.weight; "
        "of another shape: last_linear.bias (8,), which makes (8,) and not (10,), "
        "layer1.0.conv1.weight (3, 8, 1, 1), which makes (1, 1, 8, 3) and not (1, 1, 8, 4)"
    )


def test_the_first_arrays_of_another_network_are_listed(file):
    with pytest.raises(ValueError, match=r"missing: (\S+, ){19}\S+ and \d+ more$"):
        load_weights(network(stage_sizes=(3, 3, 3, 3)), file)


@pytest.mark.slow
@pytest.mark.parametrize("ours", [False, True])
def test_another_number_of_classes(ours, file, tmp_path):
    whole = load_weights(network(), file)
    if ours:
        file = tmp_path / "ours.safetensors"
        save_weights(file, whole, model="resnet50", preprocessing=Preprocessing(), source="test")
    with pytest.raises(ValueError, match=r"of another shape: .*; head=False initialises the last layer$"):
        load_weights(network(7), file)
    one, same, other = (
        load_weights(network(7), file, head=False, key=None if seed is None else jax.random.key(seed))
        for seed in (None, 0, 1)
    )
    assert_same(one, same)
    heads = [variables["params"].pop("head") for variables in (whole, one, other)]
    assert_same(one, whole)
    assert_same(other, whole)
    assert [head["kernel"].shape for head in heads] == [(128, 10), (128, 7), (128, 7)]
    assert np.std(heads[1]["kernel"]) > 0.01
    assert np.abs(heads[1]["kernel"] - heads[2]["kernel"]).min() > 0
    for headless in (network(0), network(features_only=True), network().clone(features_only=True)):
        assert_same(load_weights(headless, file), whole)


def test_our_own_files_keep_every_bit(tmp_path):
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: rng.integers(0, 2**32, leaf.shape, np.uint32).view(np.float32),
        jax.eval_shape(lambda: network().init(jax.random.key(0), jnp.zeros((1, 64, 64, 1)), train=False)),
    )
    images = Preprocessing(image_size=32, interpolation="bicubic")
    save_weights(tmp_path / "a.safetensors", variables, model="timm/seresnet50", preprocessing=images, source="x.pth")
    assert_same(load_weights(network(), tmp_path / "a.safetensors", channels=1), variables)
    header = read_tensors(tmp_path / "a.safetensors")[1]
    assert Preprocessing.from_json(header.pop("preprocessing")) == images
    said = {"format": "senet_jax", "model": "timm/seresnet50", "num_classes": "10", "source": "x.pth"}
    assert header == said | {"fields": "{}", "class_names": "[]"}
    with pytest.raises(
        ValueError, match=r"ResNet, but says that they are those of timm/seresnet50; missing: batch_stats/stage2"
    ):
        load_weights(network(stage_sizes=(3, 1, 1, 1)), tmp_path / "a.safetensors", channels=1)


@pytest.mark.parametrize(("name", "others"), [("timm/resnet50d", "downsample.0"), ("timm/resnet50c", "downsample.2")])
def test_a_shortcut_with_an_average_has_names_of_its_own(name, others):
    layers = ("stage3_block1/shortcut_conv", "stage3_block1/shortcut_norm")
    found = [naming(layer) for naming in namings(create_model(name)) for layer in layers]
    assert not [each for each in found if each.endswith(others)]


def test_some_networks_have_no_weights_but_ours(file):
    with pytest.raises(ValueError, match="no other project's weights are known for a ShuffleNet, only senet_jax's own"):
        load_weights(create_model("shufflenet"), file)
