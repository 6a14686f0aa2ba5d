"""Outputs of networks besides logits."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from models.trees import shapes
from random_variables import random_variables

from senet_jax import create_model
from senet_jax.modules import ResidualBlock


def shapes_of_maps(name, size, strides, **fields):
    maps, variables = shapes(create_model(name, **fields), (2, *size, 3), features=strides)
    assert "head" not in variables["params"]
    return {stride: feature_map.shape[1:] for stride, feature_map in maps.items()}


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("se_resnet50", (224, 250), {4: (56, 62, 256), 8: (28, 31, 512), 16: (14, 16, 1024), 32: (7, 8, 2048)}),
        pytest.param("senet154", (224, 224), {4: (56, 56, 256), 32: (7, 7, 2048)}, marks=pytest.mark.slow),
        ("timm/seresnet33ts", (224, 224), {4: (56, 56, 256), 16: (14, 14, 1536), 32: (7, 7, 1280)}),
        ("se_resnet20_cifar", (32, 32), {1: (32, 32, 16), 2: (16, 16, 32), 4: (8, 8, 64)}),
    ],
)
def test_maps_at_strides(name, size, expected):
    assert shapes_of_maps(name, size, tuple(expected)) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("output_stride", "expected"),
    [(16, {4: (56, 56, 256), 8: (28, 28, 512), 16: (14, 14, 2048)}), (8, {4: (56, 56, 256), 8: (28, 28, 2048)})],
)
def test_dilated_maps(output_stride, expected):
    assert shapes_of_maps("se_resnet50", (224, 224), tuple(expected), output_stride=output_stride) == expected
    assert shapes_of_maps("timm/seresnet50t", (224, 224), tuple(expected), output_stride=output_stride) == expected


@pytest.mark.usefixtures("unchecked_types")
def test_an_unknown_stride_is_an_error():
    with pytest.raises(ValueError, match="there is no map at stride 64; the strides are 2, 4, 8, 16, 32"):
        shapes_of_maps("resnet18", (224, 224), (4, 64))
    with pytest.raises(ValueError, match=r"features is 4; give a collection of strides, such as \(4,\)"):
        shapes_of_maps("resnet18", (224, 224), 4)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(
    ("name", "fields"), [("se_resnet20_cifar", {}), ("se_resnet50", {}), ("resnet50", {"attention": "global_context"})]
)
def test_nothing_is_promoted_silently(name, fields, train):
    model = create_model(name, stage_sizes=(1, 1), widths=(32, 64), dtype=jnp.bfloat16, **fields)
    images = jnp.ones((2, 8, 8, 3))
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        variables = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), images)
        apply = partial(model.apply, train=train, mutable=["batch_stats"])
        jax.eval_shape(jax.grad(lambda variables: apply(variables, images)[0].sum()), variables)


def test_a_layer_that_changes_the_dtype_is_an_error():
    class Widening(nn.Module):
        param_dtype: Any = None

        def __call__(self, x):
            return x.astype(jnp.float32)

    model = create_model("se_resnet20_cifar", attention=Widening, dtype=jnp.bfloat16)
    with pytest.raises(ValueError, match=r"at stride 1 has dtype float32, and the network bfloat16: .* add `.astype"):
        shapes(model, (1, 8, 8, 3))


@pytest.mark.slow
def test_the_maps_are_those_of_the_logits_and_pooled_features_their_mean():
    model = create_model("se_resnet20_cifar", 10, stage_sizes=(1, 1, 1))
    images = jax.random.normal(jax.random.key(1), (2, 16, 16, 3))
    variables = random_variables(model, images)
    last = jax.jit(partial(model.apply, train=False, features=(4,)))(variables, images)[4]
    pooled = jax.jit(partial(model.clone(num_classes=0).apply, train=False))(variables, images)
    np.testing.assert_allclose(pooled, last.mean(axis=(1, 2)), rtol=1e-5, atol=1e-6)
    head = variables["params"]["head"]
    logits = jax.jit(partial(model.apply, train=False))(variables, images)
    np.testing.assert_allclose(logits, pooled @ head["kernel"] + head["bias"], rtol=1e-5, atol=1e-6)


def test_drop_path_rises_linearly_to_its_rate():
    model = create_model("se_resnet20_cifar", 10, stage_sizes=(2, 2, 1), drop_path=0.8)
    rates = []

    def note(call, args, kwargs, context):
        if isinstance(context.module, ResidualBlock) and context.method_name == "__call__":
            rates.append(context.module.drop_path)
        return call(*args, **kwargs)

    with nn.intercept_methods(note):
        shapes(model, (1, 8, 8, 3))
    np.testing.assert_allclose(rates, [0, 0.2, 0.4, 0.6, 0.8], atol=1e-9)


def test_features_alone_are_a_list_of_maps():
    model = create_model("se_resnet20_cifar", features_only=True, out_indices=(0, -1))
    maps, variables = shapes(model, (1, 32, 32, 3))
    assert [feature_map.shape for feature_map in maps] == [(1, 32, 32, 16), (1, 8, 8, 64)]
    assert "head" not in variables["params"]
    with pytest.raises(ValueError, match=r"out_indices has 3; the network has 3 maps, at strides \[1, 2, 4\]"):
        shapes(model.clone(out_indices=(3,)), (1, 32, 32, 3))


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("timm/resnet18", [64, 64, 128, 256, 512]),
        ("timm/senet154", [128, 256, 512, 1024, 2048]),
        ("timm/seresnext26ts", [64, 256, 512, 1024, 2048]),
        ("timm/seresnet33ts", [32, 256, 512, 1536, 1280]),
    ],
)
def test_the_maps_are_those_of_timms_feature_info(name, channels):
    sizes = {} if name.endswith("ts") else {"stage_sizes": (1,) * 4}
    maps, _ = shapes(create_model(name, features_only=True, **sizes), (1, 64, 64, 3))
    assert [(each.shape[1], each.shape[3]) for each in maps] == list(zip((32, 16, 8, 4, 2), channels, strict=True))


def test_stages_of_one_stride_are_maps_of_their_own():
    dilated = create_model("resnet18", features_only=True, out_indices=(3, 4), output_stride=16)
    maps, _ = shapes(dilated, (1, 64, 64, 3))
    assert [each.shape for each in maps] == [(1, 4, 4, 256), (1, 4, 4, 512)]
