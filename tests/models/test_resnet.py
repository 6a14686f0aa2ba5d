import math
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from senet_jax import SqueezeExcite, create_model, list_models

GOLDEN = Path(__file__).parent / "golden"

PARAMETERS = {
    "resnet18": 11_689_512,
    "se_resnet18": 11_778_592,
    "resnet34": 21_797_672,
    "se_resnet34": 21_958_868,
    "resnet50": 25_557_032,
    "se_resnet50": 28_088_024,
    "resnet101": 44_549_160,
    "se_resnet101": 49_326_872,
    "resnet152": 60_192_808,
    "se_resnet152": 66_821_848,
    "resnext50_32x4d": 25_028_904,
    "se_resnext26_32x4d": 16_790_280,
    "se_resnext50_32x4d": 27_559_896,
    "resnext101_32x4d": 44_177_704,
    "se_resnext101_32x4d": 48_955_416,
    "se_resnext101_64x4d": 88_232_984,
    "se_resnext101_32x8d": 93_569_048,
    "senet154": 115_088_984,
    "se_resnet20_cifar": 274_847,
    "se_resnet56_cifar": 862_889,
    "resnet110_cifar": 1_730_714,
    "se_resnet110_cifar": 1_744_952,
}
"""Trainable parameters of the authors' networks, and for the rest of two independent implementations."""

RATIOS = {2: 45_699_240, 4: 35_635_688, 8: 30_603_912, 16: 28_088_024, 32: 26_830_080}
"""SE-ResNet-50 at the reduction ratios of the paper's table 10, with biases."""


def shapes(model, size, channels=3):
    images = jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32)
    return jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), images)


def count(tree):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def native(name):
    """(classes, image size) of the dataset that a network is made for."""
    return (10, 32) if name.endswith("_cifar") else (1000, 224)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_exact(name):
    classes, size = native(name)
    assert count(shapes(create_model(name, classes), size)["params"]) == PARAMETERS[name]


@pytest.mark.parametrize("ratio", RATIOS)
def test_parameters_at_the_ratios_of_table_10(ratio):
    assert count(shapes(create_model("se_resnet50", ratio=ratio), 64)["params"]) == RATIOS[ratio]


def test_running_statistics_are_two_for_each_channel():
    assert count(shapes(create_model("se_resnet50"), 224)["batch_stats"]) == 53_120


@pytest.mark.parametrize("name", list_models())
def test_parameter_tree_is_golden(name, request):
    """Rewritten by `python -m pytest --update-golden` where a change is meant: it breaks every checkpoint."""
    classes, size = native(name)
    leaves, _ = jax.tree.flatten_with_path(shapes(create_model(name, classes), size))
    lines = ["/".join(key.key for key in path) + f" {leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves]
    text = "\n".join(lines) + "\n"
    golden = GOLDEN / f"{name}.txt"
    if request.config.getoption("--update-golden"):
        golden.write_text(text)
    assert text == golden.read_text()


def test_maps_have_the_authors_sizes():
    model = create_model("se_resnet50")
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)

    def inner(images):
        _, captured = model.init_with_output(jax.random.key(0), images, train=False, capture_intermediates=True)
        return captured["intermediates"]

    maps = jax.eval_shape(inner, images)
    shape = {name: maps[name]["__call__"][0].shape for name in maps if name != "__call__"}
    assert shape["stem"] == (1, 56, 56, 64)
    assert shape["stage2_block3"] == (1, 56, 56, 256)
    assert shape["stage3_block4"] == (1, 28, 28, 512)
    assert shape["stage4_block6"] == (1, 14, 14, 1024)
    assert shape["stage5_block3"] == (1, 7, 7, 2048)
    assert maps["stage3_block1"]["conv1"]["__call__"][0].shape == (1, 28, 28, 128)


@pytest.mark.parametrize("name", ["resnet20_cifar", "se_resnet20_cifar"])
def test_training_and_inference(name):
    model = create_model(name, 10, stage_sizes=(1, 1, 1))
    images = jax.random.normal(jax.random.key(1), (4, 30, 34, 1))
    logits, variables = jax.jit(lambda x: model.init_with_output(jax.random.key(0), x, train=False))(images)
    assert logits.shape == (4, 10)
    assert logits.dtype == jnp.float32
    _, updated = jax.jit(lambda x: model.apply(variables, x, train=True, mutable=["batch_stats"]))(images)
    changed = jax.tree.map(lambda a, b: bool((a != b).any()), variables["batch_stats"], updated["batch_stats"])
    assert all(jax.tree.leaves(changed))


def test_dropout_is_of_training_alone():
    model = create_model("se_resnet20_cifar", 10, stage_sizes=(1, 1, 1), dropout=0.5)
    images = jax.random.normal(jax.random.key(1), (4, 8, 8, 3))
    variables = jax.jit(lambda x: model.init(jax.random.key(0), x, train=False))(images)

    @partial(jax.jit, static_argnames="train")
    def logits(seed, train):
        rngs = {"dropout": jax.random.key(seed)}
        return model.apply(variables, images, train=train, mutable=["batch_stats"], rngs=rngs)[0]

    assert (logits(0, train=True) != logits(1, train=True)).any()
    np.testing.assert_array_equal(logits(0, train=False), logits(1, train=False))


@pytest.mark.parametrize(
    ("name", "shapes_of"),
    [
        ("se_resnet50", {"conv1": (1, 28, 28, 128), "conv2": (1, 28, 28, 128)}),
        ("se_resnext50_32x4d", {"conv1": (1, 56, 56, 256), "conv2": (1, 28, 28, 256)}),
        ("senet154", {"conv1": (1, 56, 56, 256), "conv2": (1, 28, 28, 512), "shortcut_conv": (1, 28, 28, 512)}),
    ],
)
def test_the_stride_stands_where_the_authors_have_it(name, shapes_of):
    model = create_model(name)
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    keep = {"capture_intermediates": True, "mutable": ["params", "batch_stats", "intermediates"]}
    maps = jax.eval_shape(lambda x: model.init_with_output(jax.random.key(0), x, train=False, **keep)[1], images)
    inner = maps["intermediates"]["stage3_block1"]
    assert {conv: inner[conv]["__call__"][0].shape for conv in shapes_of} == shapes_of


def test_an_image_size_that_is_no_multiple_of_32():
    logits = jax.eval_shape(
        lambda x: create_model("se_resnet18").init_with_output(jax.random.key(0), x, train=False)[0],
        jnp.zeros((2, 97, 131, 3)),
    )
    assert logits.shape == (2, 1000)


def test_bfloat16_has_float32_parameters_and_logits():
    images = jax.random.normal(jax.random.key(1), (4, 16, 16, 3))
    exact = create_model("se_resnet20_cifar", 10, stage_sizes=(1, 1, 1))
    expected, variables = jax.jit(lambda x: exact.init_with_output(jax.random.key(0), x, train=False))(images)
    half = create_model("se_resnet20_cifar", 10, stage_sizes=(1, 1, 1), dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(half.init(jax.random.key(0), images, train=False))} == {
        jnp.dtype("float32")
    }
    logits = half.apply(variables, images, train=False)
    assert logits.dtype == jnp.float32
    expected = exact.apply(variables, images, train=False)
    error = np.linalg.norm(logits - expected) / np.linalg.norm(expected)
    assert 1e-6 < error < 0.05


def test_attention_is_injected():
    model = create_model("resnet20_cifar", 10, attention=partial(SqueezeExcite, ratio=16))
    assert shapes(model, 32) == shapes(create_model("se_resnet20_cifar", 10), 32)


def test_images_that_are_no_batch_are_an_error():
    with pytest.raises(ValueError, match=r"images must be \(n, height, width, channels\); given shape \(32, 32, 3\)"):
        create_model("resnet20_cifar").init(jax.random.key(0), jnp.zeros((32, 32, 3)), train=False)
