"""Gates of small networks, against those that NumPy computes from the same parameters."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from networks import tiny_network
from random_variables import random_variables

from senet_jax import SqueezeExcite, WithSE, analysis, create_model, ops
from senet_jax.analysis.excitations import Excitations, Gates, _correct, accuracy_without, count_gates, excitations
from senet_jax.analysis.gates import ObservedNetwork
from senet_jax.models import default_input
from senet_jax.models.parameters import abstract_variables
from senet_jax.modules import ATTENTIONS
from senet_jax.modules.conv import with_xla_convolutions

CLASSES, CHANNELS = 3, 8
IMAGES = jnp.asarray(np.random.default_rng(1).normal(size=(20, 4, 4, CHANNELS)), jnp.float32)
LABELS = np.random.default_rng(2).integers(CLASSES, size=20)
BATCHES = [(IMAGES[:12], LABELS[:12]), (IMAGES[12:], LABELS[12:])]


class Recalibrated(nn.Module):
    """A block and a dense layer."""

    attention: type | partial = SqueezeExcite

    @nn.compact
    def __call__(self, images, *, train):
        x = self.attention(name="se")(images)
        return nn.Dense(CLASSES, name="head")(nn.relu(x).mean((1, 2)))


def squeeze_excite_gates(parameters, squeezed):
    reduce, expand = (jax.tree.map(np.float64, parameters[name]) for name in ("reduce", "expand"))
    hidden = np.maximum(np.float64(squeezed) @ reduce["kernel"] + reduce["bias"], 0)
    return 1 / (1 + np.exp(-(hidden @ expand["kernel"] + expand["bias"])))


@pytest.fixture(scope="module")
def variables():
    return jax.tree.map(lambda x: 3 * x, random_variables(Recalibrated(), IMAGES))


@pytest.fixture(scope="module")
def gates(variables):
    """Gates of SqueezeExcite for all images, (n, c)."""
    return squeeze_excite_gates(variables["params"]["se"], IMAGES.mean((1, 2)))


def test_statistics_are_those_of_the_gates(variables, gates):
    found = analysis.excitations(Recalibrated(), variables, BATCHES)
    (block,) = found.blocks.values()
    assert list(found.blocks) == ["se"]
    assert found.images.tolist() == [(label == LABELS).sum() for label in range(CLASSES)]
    np.testing.assert_allclose(block.mean, gates.mean(0), rtol=1e-5)
    np.testing.assert_allclose(block.std, gates.std(0), rtol=1e-4)
    of_classes = [gates[label == LABELS] for label in range(CLASSES)]
    np.testing.assert_allclose(block.class_mean, [own.mean(0) for own in of_classes], rtol=1e-5)
    np.testing.assert_allclose(block.class_std, [own.std(0) for own in of_classes], rtol=1e-4)
    within = sum(len(own) * own.var(0) for own in of_classes).sum() / len(gates)
    assert block.between_classes == pytest.approx(1 - within / gates.var(0).sum(), rel=1e-4)
    answers = np.asarray(Recalibrated().apply(variables, IMAGES, train=False)).argmax(1)
    assert found.accuracy == (answers == LABELS).mean()


def test_saturation():
    block = Gates(np.zeros(4), CLASSES)
    block.add(np.array([[0.05, 0.95, 1.05, 0.5], [0.05, 0.85, 1.0, 0.6]]), np.array([0, 2]))
    assert (block.near_zero, block.near_one, block.constant) == (2 / 8, 3 / 8, 1 / 4)
    assert np.isnan(block.class_mean[1]).all()
    assert block.between_classes == pytest.approx(1)


def test_ties_and_nans_are_wrong():
    logits = np.array([[2, 1, 0], [1, 1, 0], [1, np.nan, 0], [np.nan, 1, 0]])
    assert [_correct(row[None], np.array([0])) for row in logits] == [1, 0, 0, 0]


def test_gates_that_never_vary_have_no_share_between_classes():
    block = Gates(np.full(4, 0.3, np.float32), CLASSES)
    block.add(np.full((6, 4), 0.3, np.float32), np.array([0, 0, 1, 1, 2, 2]))
    assert np.isnan(block.between_classes)
    assert block.constant == 1


def test_replaced_gates_make_a_network_of_constant_gates(variables):
    found = excitations(Recalibrated(), variables, BATCHES)
    mean = found.blocks["se"].mean.astype(np.float32)
    constant = Recalibrated(partial(SqueezeExcite, gate=lambda z: jnp.broadcast_to(mean, z.shape)))
    expected = constant.apply(variables, IMAGES, train=False)
    logits, _ = ObservedNetwork(Recalibrated(), {})(variables, IMAGES, {"se": mean})
    np.testing.assert_allclose(logits, expected, rtol=1e-6)
    left = accuracy_without(Recalibrated(), variables, BATCHES, found, {"se": ["se"], "none": []})
    assert left == {"se": (np.asarray(expected).argmax(1) == LABELS).mean(), "none": found.accuracy}


@pytest.mark.slow
def test_only_the_blocks_of_the_group_are_replaced():
    model = tiny_network(CLASSES, stage_sizes=(1, 1, 1), widths=(8, 16, 32))
    images = IMAGES[..., :3]
    values = random_variables(model, images)
    observed = ObservedNetwork(model, {})
    network = jax.jit(observed)
    _, seen = network(values, images)
    constants = {path: np.full(gates.shape[1], np.nan) for path, gates in zip(observed.paths, seen, strict=True)}
    _, unchanged = network(values, images, constants)
    _, replaced = network(values, images, constants | {"stage3_block1": np.full(16, 0.25)})
    for before, after in zip(seen, unchanged, strict=True):
        np.testing.assert_allclose(before, after, rtol=1e-6)
    np.testing.assert_allclose(seen[0], replaced[0], rtol=1e-6)
    assert abs(seen[2] - replaced[2]).max() > 1e-4


@pytest.mark.parametrize("name", ATTENTIONS)
def test_every_attention_of_ours_is_observed_and_not_disturbed(name):
    attention = partial(ATTENTIONS[name], **({"fuse": "scale", "ratio": 2} if name == "global_context" else {}))
    model = Recalibrated(attention)
    values = random_variables(model, IMAGES)
    logits, (gates,) = jax.jit(ObservedNetwork(model, {}))(values, IMAGES)
    np.testing.assert_allclose(logits, model.apply(values, IMAGES, train=False), rtol=1e-5, atol=1e-6)
    y = attention().apply({"params": values["params"].get("se", {})}, IMAGES)
    if name not in ("scse", "cbam"):  # Which have gates of positions besides.
        np.testing.assert_allclose(y, IMAGES * gates[:, None, None], rtol=1e-4, atol=1e-6)
    assert gates.shape == (20, CHANNELS)


def test_gates_of_positions_are_averaged():
    model = Recalibrated(partial(SqueezeExcite, squeeze="none"))
    values = random_variables(model, IMAGES)
    _, (gates,) = ObservedNetwork(model, {})(values, IMAGES)
    y = SqueezeExcite(squeeze="none").apply({"params": values["params"]["se"]}, IMAGES)
    np.testing.assert_allclose(gates, (y / IMAGES).mean((1, 2)), rtol=1e-4)


class Plain(nn.Module):
    """Knows nothing of squeeze-and-excitation; its second layer is computed anew in the backward pass."""

    @nn.compact
    def __call__(self, images):
        x = nn.Conv(CHANNELS, (3, 3), name="layer_0")(images)
        x = nn.remat(nn.Conv)(CHANNELS, (3, 3), name="layer_1")(nn.relu(x))
        return nn.Dense(CLASSES, name="head")(x.mean((1, 2)))


class Other(nn.Module):
    """An attention module that is none of ours."""

    @nn.compact
    def __call__(self, x):
        return ops.scale(x, nn.sigmoid(nn.Dense(x.shape[-1], name="dense")(ops.squeeze(x))))


@pytest.mark.slow
@pytest.mark.parametrize("attention", [SqueezeExcite, Other])
def test_with_se(attention):
    model = WithSE(Plain(), where="layer_*", attention=attention)
    variables = jax.jit(model.init)(jax.random.key(0), IMAGES)
    layer = variables["params"]["layer_0"]
    layer["kernel"] = layer["kernel"].at[..., 0].set(0)  # A map of zeros does not show its gate.
    logits, seen = jax.jit(ObservedNetwork(model, {}))(variables, IMAGES)
    np.testing.assert_allclose(logits, jax.jit(model.apply)(variables, IMAGES), rtol=1e-4, atol=1e-6)
    squeezed = nn.Conv(CHANNELS, (3, 3)).apply({"params": {name: layer[name] for name in ("kernel", "bias")}}, IMAGES)
    squeezed, values = squeezed.mean((1, 2)), layer["se"]
    if attention is SqueezeExcite:
        expected = squeeze_excite_gates(values, squeezed)
    else:
        expected = nn.sigmoid(squeezed @ values["dense"]["kernel"] + values["dense"]["bias"])
    np.testing.assert_allclose(seen[0], expected, rtol=1e-4)
    found = excitations(model, variables, BATCHES)
    assert list(found.blocks) == ["layer_0", "layer_1"]
    assert found.stages == {"8 channels": ["layer_0", "layer_1"]}
    constants = {path: np.full(CHANNELS, 0.5, np.float32) for path in found.blocks}
    halved, _ = jax.jit(ObservedNetwork(model, {}))(variables, IMAGES, constants)
    plain = jax.tree.map(lambda x: x, variables["params"])
    for name in ("layer_0", "layer_1"):
        plain[name] = {leaf: plain[name][leaf] / 2 for leaf in ("kernel", "bias")}
    np.testing.assert_allclose(halved, Plain().apply({"params": plain}, IMAGES), rtol=1e-4, atol=1e-6)


STAGES = {
    "se_resnet50": {"stage2": 3, "stage3": 4, "stage4": 6, "stage5": 3},
    "se_vgg11": {"conv1": 1, "conv2": 1, "conv3": 2, "conv4": 2, "conv5": 2},
    "se_bn_inception": {"inception_3": 3, "inception_4": 5, "inception_5": 2},
    "se_inception_resnet_v2": {"block35": 1, "block17": 2, "block8": 1},
    "se_mobilenet": {"stage1": 1, "stage2": 2, "stage3": 1, "stage4": 1, "stage5": 1},
    "se_shufflenet": {"stage2": 1, "stage3": 2, "stage4": 1},
    "se_preact_resnet20_cifar": {"stage2": 1, "stage3": 2, "stage4": 1},
    "se_shake26_2x96d_cifar": {"stage2": 1, "stage3": 2, "stage4": 1},
}
"""Blocks of each stage; that of BN-Inception has no numbers of them."""


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.slow
@pytest.mark.parametrize("name", STAGES)
def test_every_family_is_observed(name):
    fields = {} if name == "se_bn_inception" else {"stage_sizes": tuple(STAGES[name].values())}
    model = create_model(name, **fields)
    size = default_input(name)[1]
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    counts = count_gates(with_xla_convolutions(model), abstract_variables(model, images, train=False), images)
    found = Excitations({path: Gates(np.zeros(channels), 1) for path, channels in counts.items()}, 0.0)
    assert {stage: len(paths) for stage, paths in found.stages.items()} == STAGES[name]
    if name == "se_resnet50":
        blocks = "stage2_block3 stage3_block4 stage4_block6 stage5_block1 stage5_block2 stage5_block3"
        assert found.shown == blocks.split()
        assert [counts[path] for path in found.shown] == [256, 512, 1024, 2048, 2048, 2048]
        assert (len(found.blocks[found.shown[2]].sampled), found.blocks[found.shown[2]].sampled[-1]) == (50, 1023)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("placement", ["pre", "post", "identity", "inner"])
def test_every_placement_is_observed(placement):
    model = create_model("se_resnet20_cifar", placement=placement)
    images = jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32)
    assert len(count_gates(with_xla_convolutions(model), abstract_variables(model, images, train=False), images)) == 9


def test_padding_does_not_count(variables):
    found = excitations(Recalibrated(), variables, BATCHES)
    padded = [(IMAGES, LABELS), (IMAGES[:4], np.full(4, -1)), (IMAGES[:2], np.array([-1, -1]))]
    again = excitations(Recalibrated(), variables, padded)
    assert again.images.tolist() == found.images.tolist()
    np.testing.assert_allclose(again.blocks["se"].mean, found.blocks["se"].mean, rtol=1e-12)


class Twice(nn.Module):
    @nn.compact
    def __call__(self, images):
        se = SqueezeExcite(name="se")
        return se(se(images)).mean((1, 2))


class ReturnsGates(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.sigmoid(nn.Dense(CHANNELS)(x.mean((1, 2), keepdims=True)))


class Repeated(nn.Module):
    """Blocks in a scan."""

    @nn.compact
    def __call__(self, images):
        step = nn.scan(
            lambda module, x, _: (SqueezeExcite(name="block")(x), None),
            variable_axes={"params": 0}, split_rngs={"params": True}, length=2,
        )  # fmt: skip
        return step(self, images, None)[0].mean((1, 2))


def test_gates_that_cannot_be_observed_raise():
    network = Recalibrated(ReturnsGates)
    with pytest.raises(ValueError, match=r"se returns .* for maps .*; it must return the scaled maps"):
        excitations(network, random_variables(network, IMAGES), BATCHES)
    with pytest.raises(ValueError, match=r"the gates of block do not leave nn.scan or nn.vmap; give these"):
        excitations(Repeated(), Repeated().init(jax.random.key(0), IMAGES), BATCHES)


@pytest.mark.slow
def test_networks_without_gates_raise(variables):
    with pytest.raises(ValueError, match=r"Plain has no gates to observe"):
        excitations(Plain(), Plain().init(jax.random.key(0), IMAGES), BATCHES)
    adding = Recalibrated(partial(ATTENTIONS["global_context"], ratio=2))
    with pytest.raises(ValueError, match=r"se \(GlobalContext\) has no gates: it does not scale channels"):
        excitations(adding, random_variables(adding, IMAGES), BATCHES)
    with pytest.raises(ValueError, match="the gates of se are used 2 times in a call; it must be once"):
        excitations(Twice(), Twice().init(jax.random.key(0), IMAGES), BATCHES)
    with pytest.raises(ValueError, match="a label is 3; the network has the classes 0 to 2"):
        excitations(Recalibrated(), variables, [(IMAGES[:1], np.array([3]))])
    with pytest.raises(ValueError, match=r"labels are float64 of shape \(1, 3\); give whole numbers, one for each"):
        excitations(Recalibrated(), variables, [(IMAGES[:1], np.eye(3)[:1])])
    with pytest.raises(ValueError, match="a batch has 1 images and 2 labels; give a label for each image"):
        excitations(Recalibrated(), variables, [(IMAGES[:1], np.array([0, 1]))])
    with pytest.raises(ValueError, match="no images that count; give at least one"):
        excitations(Recalibrated(), variables, [])
    found = excitations(Recalibrated(), variables, BATCHES)
    with pytest.raises(ValueError, match="there is no block 'stage2'; the blocks are se"):
        accuracy_without(Recalibrated(), variables, BATCHES, found, {"a": ["stage2"]})
