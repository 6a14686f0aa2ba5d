from functools import partial

import jax
import jax.numpy as jnp
import pytest

from senet_jax.config import ModelConfig
from senet_jax.models.parameters import abstract_variables
from senet_jax.weights.configured import build_model


def test_a_configuration_builds_its_network():
    model = build_model(ModelConfig("se_resnet20_cifar", ratio=4, dtype="bfloat16", statistics_group=8), 7)
    images = jax.ShapeDtypeStruct((16, 8, 8, 1), jnp.float32)
    variables = abstract_variables(model, images, train=False)
    assert variables["params"]["stage2_block1"]["se"]["reduce"]["kernel"].shape == (16, 4)
    train = partial(model.apply, train=True, mutable=["batch_stats"])
    logits, _ = jax.eval_shape(train, variables, images)
    assert logits.shape == (16, 7)
    with pytest.raises(ValueError, match="group of 8 does not divide the batch of 4"):
        jax.eval_shape(train, variables, images.update(shape=(4, 8, 8, 1)))


def test_a_configuration_builds_its_variant():
    variant = {"squeeze": "max", "gate": "tanh", "use_bias": False, "placement": "pre", "attention_stages": (3,)}
    model = build_model(ModelConfig("se_resnet20_cifar", ratio=4, drop_path=0.1, **variant), 7)
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((2, 8, 8, 3)), train=False))
    assert jax.tree.map(jnp.shape, variables["params"]["stage3_block1"]["se"]) == {
        "reduce": {"kernel": (16, 4)},
        "expand": {"kernel": (4, 16)},
    }
    assert "se" not in variables["params"]["stage2_block1"]
    assert model.attention is not None
    attention = model.attention(parent=None)
    assert (attention.squeeze, attention.gate, model.drop_path) == ("max", "tanh", 0.1)
    assert build_model(ModelConfig("se_resnet20_cifar", ratio=4, attention="none", **variant), 7).attention is None
    assert "EfficientChannel" in repr(build_model(ModelConfig("resnet20_cifar", attention="eca"), 7).attention)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ModelConfig("resnet20_cifar", gate="tanh"), "config.model.gate is of squeeze-and-excitation, which resnet20_"),
        (
            ModelConfig("resnet20_cifar", placement="pre"),
            "config.model.placement is of squeeze-and-excitation",
        ),
        (
            ModelConfig("resnet20_cifar", attention_stages=(2,)),
            "config.model.attention_stages is of squeeze",
        ),
        (ModelConfig("se_resnet20_cifar", attention="eca", squeeze="max"), "config.model.squeeze is of squeeze-and-ex"),
        (ModelConfig("vgg16", placement="pre"), "vgg16 has no field 'placement'"),
    ],
)
def test_an_impossible_variant_is_an_error(config, message):
    with pytest.raises(ValueError, match=message):
        build_model(config, 7)
