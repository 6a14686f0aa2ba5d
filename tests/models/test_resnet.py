from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models.trees import count, shapes, tree
from random_variables import initial_variables, random_variables

from senet_jax import SqueezeExcite, create_model


@pytest.mark.usefixtures("unchecked_types")
def test_running_statistics_are_two_for_each_channel():
    assert count(tree("se_resnet50")["batch_stats"]) == 53_120


def test_maps_have_the_authors_sizes():
    captured = shapes(create_model("se_resnet50"), (1, 224, 224, 3), capture_intermediates=True)[1]
    maps = captured["intermediates"]
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
    variables = random_variables(model, images)
    logits = jax.jit(partial(model.apply, train=False))(variables, images)
    assert logits.shape == (4, 10)
    assert logits.dtype == jnp.float32
    _, updated = jax.jit(lambda x: model.apply(variables, x, train=True, mutable=["batch_stats"]))(images)
    same = jax.tree.map(np.array_equal, variables["batch_stats"], updated["batch_stats"])
    assert not any(jax.tree.leaves(same))


@pytest.mark.slow
def test_dropout_is_of_training_alone():
    model = create_model("se_resnet20_cifar", 10, stage_sizes=(1, 1, 1), dropout=0.5)
    images = jax.random.normal(jax.random.key(1), (4, 8, 8, 3))
    variables = random_variables(model, images)

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
        pytest.param(
            "senet154",
            {"conv1": (1, 56, 56, 256), "conv2": (1, 28, 28, 512), "shortcut_conv": (1, 28, 28, 512)},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_stride_is_at_the_authors_place(name, shapes_of):
    keep = {"capture_intermediates": True, "mutable": ["params", "batch_stats", "intermediates"]}
    maps = shapes(create_model(name), (1, 224, 224, 3), **keep)[1]
    inner = maps["intermediates"]["stage3_block1"]
    assert {conv: inner[conv]["__call__"][0].shape for conv in shapes_of} == shapes_of


def test_an_image_size_that_32_does_not_divide():
    logits, _ = shapes(create_model("se_resnet18"), (2, 97, 131, 3))
    assert logits.shape == (2, 1000)


def test_bfloat16_has_float32_parameters_and_logits():
    images = jax.random.normal(jax.random.key(1), (4, 16, 16, 3))
    exact = create_model("se_resnet20_cifar", 10, stage_sizes=(1, 1, 1))
    variables = initial_variables(exact, images)
    half = create_model("se_resnet20_cifar", 10, stage_sizes=(1, 1, 1), dtype=jnp.bfloat16)
    initial = jax.eval_shape(partial(half.init, train=False), jax.random.key(0), images)
    types = {leaf.dtype for leaf in jax.tree.leaves(initial)}
    assert types == {jnp.dtype("float32")}
    logits = jax.jit(partial(half.apply, train=False))(variables, images)
    assert logits.dtype == jnp.float32
    expected = jax.jit(partial(exact.apply, train=False))(variables, images)
    error = np.linalg.norm(logits - expected) / np.linalg.norm(expected)
    assert 1e-6 < error < 0.05


def test_attention_is_injected():
    assert tree("resnet20_cifar", attention=partial(SqueezeExcite, ratio=16)) == tree("se_resnet20_cifar")


def test_images_without_a_batch_dimension_raise():
    with pytest.raises(ValueError, match=r"images must be \(n, height, width, channels\); given shape \(32, 32, 3\)"):
        create_model("resnet20_cifar").init(jax.random.key(0), jnp.zeros((32, 32, 3)), train=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["se_resnet20_cifar", "se_preact_resnet164_cifar"])
def test_blocks_that_are_computed_once_more_have_equal_gradients(name):
    model = create_model(name, 5, stage_sizes=(1, 1, 1), widths=(4, 8, 8), stem_width=4, drop_path=0.3)
    images = jax.random.normal(jax.random.key(0), (4, 8, 8, 3))
    variables = initial_variables(model, images)

    def loss(params, model):
        rngs = {"dropout": jax.random.key(1)}
        state = variables | {"params": params}
        logits, updated = model.apply(state, images, train=True, mutable=["batch_stats"], rngs=rngs)
        return jnp.square(logits).sum(), updated

    def gradient(model):
        return jax.jit(jax.grad(partial(loss, model=model), has_aux=True))(variables["params"])

    again = model.clone(remat=True)
    assert "remat" in str(jax.make_jaxpr(partial(loss, model=again))(variables["params"]))
    near = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    jax.tree.map(near, gradient(again), gradient(model))
