import re
from functools import partial
from pathlib import Path
from typing import Any

import jax
import pytest
from flax import linen as nn
from processes import run_python

from senet_jax import SqueezeExcite, create_model, list_models, words
from senet_jax.models.parameters import abstract_variables, count_parameters
from senet_jax.modules import BatchNorm


def test_the_names_that_are_known_before_flax_is_imported(request):
    if request.config.getoption("--update-golden"):
        Path(words.__file__).with_name("networks.txt").write_text("\n".join(list_models()) + "\n")
    else:
        assert tuple(list_models()) == words.NETWORKS


def test_every_network_has_its_twin_but_senet154():
    ours = [name for name in list_models() if "/" not in name]
    assert ours[:2] == ["resnet18", "se_resnet18"]
    assert [name for name in ours if not name.startswith("se_")] == [
        *(name[3:] for name in list_models("se_*")),
        "senet154",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "se_resnet5"}, "no network 'se_resnet5'; the nearest are se_resnet50"),
        (
            {"name": "resnet50", "ratio": 8},
            "resnet50 has no squeeze-and-excitation and so takes no ratio; did you mean 'se_resnet50'",
        ),
        ({"name": "se_resnet50", "ratio": 0}, "ratio is 0; it must be a positive number"),
        ({"name": "se_resnet50", "ratio": 4, "attention": None}, "se_resnet50 has no squeeze-and-excitation and so"),
        ({"name": "resnet50", "ratio": 4, "attention": "eca"}, "EfficientChannelAttention has no ratio"),
        ({"name": "resnet50", "attention": "cbm"}, "there is no attention 'cbm'; the nearest are cbam"),
        ({"name": "resnet50", "attention_stages": (2, 6)}, "attention_stages has 6; .* are 2, 3, 4, 5"),
        ({"name": "resnet50", "output_stride": 64}, "output_stride is 64; it must be 8, 16 or 32"),
        (
            {"name": "se_resnet50", "widht": 32},
            "se_resnet50 has no field 'widht'; its fields are .*ratio.*; did you mean 'widths'",
        ),
        ({"name": "se_resnet50", "dropout": -0.5}, "dropout is -0.5; it must be at least 0 and less than 1"),
        ({"name": "se_resnet50", "drop_path": 1.5}, "drop_path is 1.5; it must be at least 0 and less than 1"),
        ({"name": "resnet50", "out_indices": (1, 2)}, "out_indices is .1, 2., which is for features_only=True; give"),
        ({"name": "se_resnet50", "placement": "after"}, "placement is 'after'; it must be one of standard, pre, post"),
        (
            {"name": "se_resnet50", "ratio": 8, "attention": lambda **_: None},
            "ratio is for a class of attention or its",
        ),
        ({"name": "se_resnet50", "dtype": "bf16"}, "dtype is 'bf16'; give a dtype, such as jnp.bfloat16"),
        ({"name": "se_resnet50", "stage_sizes": (1, 1)}, "stage_sizes has 2 stages and widths 4; give as many of each"),
        ({"name": "se_resnet50", "num_classes": -1}, "num_classes is -1; it must be at least 1, or 0"),
        (
            {"name": "se_resnet50", "norm": partial(nn.GroupNorm, num_groups=8)},
            "norm makes a GroupNorm, whose call has no `train`; give a class with the fields",
        ),
    ],
)
def test_invalid_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        create_model(**arguments)


def test_released_weights_are_of_networks_that_are_here():
    names = list_models(pretrained=True)
    assert {name.partition(".")[0] for name in names} <= set(list_models("timm/*"))
    assert list_models("timm/seresnet50.*", pretrained=True)[0].startswith("timm/seresnet50.")


def test_a_norm_may_take_train_among_any_keywords():
    class Norm(nn.Module):
        param_dtype: Any = None

        def __call__(self, x, **keywords): ...

    create_model("se_resnet18", norm=Norm)


def test_a_norm_has_a_dtype_for_its_parameters():
    class Norm(nn.Module):
        def __call__(self, x, *, train): ...

    with pytest.raises(ValueError, match="norm makes a Norm, which has no field `param_dtype`; give a class"):
        create_model("se_resnet18", norm=Norm)


def test_an_attention_is_a_class_or_a_function_of_name_and_dtype():
    class Untyped(nn.Module):
        def __call__(self, x): ...

    create_model("se_resnet18", attention=lambda name, param_dtype: SqueezeExcite(name=name))
    with pytest.raises(ValueError, match="attention makes a Untyped, which has no field `param_dtype`; give a class"):
        create_model("se_resnet18", attention=Untyped)


class Gates(nn.Module):
    """An attention whose author forgot to multiply."""

    param_dtype: Any = None

    def __call__(self, x):
        return x.mean((-3, -2), keepdims=True)


@pytest.mark.parametrize("name", ["resnet20_cifar", "mobilenet", "vgg11", "bn_inception", "shufflenet"])
def test_an_attention_that_does_not_keep_the_shape_is_refused(name):
    model, images = create_model(name, attention=Gates), jax.ShapeDtypeStruct((1, 64, 64, 3), "float32")
    with pytest.raises(ValueError, match=r"Gates returns \(1, 1, 1, \d+\) for maps .*; an attention must return the"):
        abstract_variables(model, images, train=False)


def test_a_field_has_one_name():
    with pytest.raises(ValueError, match="drop_rate and dropout are names of the same field; give one of them"):
        create_model("resnet18", drop_rate=0.1, dropout=0.2)


def test_a_ratio_takes_the_place_of_stated_hidden_channels():
    sizes = {"stage_sizes": (1,), "widths": (64,)}
    counts = [count_parameters(create_model("nvidia/se_resnext101_32x4d", ratio=r, **sizes), 32) for r in (8, 16, None)]
    assert counts[0] > counts[1] == counts[2]  # 256 channels, of which NVIDIA keeps 16.


def test_an_epsilon_is_for_normalisations_that_have_one():
    norm = partial(BatchNorm, epsilon=1e-5)
    assert create_model("inception_resnet_v2").layers()["norm"].keywords["epsilon"] == 1e-3
    assert create_model("inception_resnet_v2", norm=norm).layers()["norm"].keywords["epsilon"] == 1e-5
    assert "epsilon" not in create_model("inception_resnet_v2", norm=lambda **_: None).layers()["norm"].keywords


def test_every_network_can_be_a_static_argument():
    for name in list_models():
        hash(create_model(name))


def test_lists_are_taken_as_tuples():
    hash(create_model("se_resnet18", stage_sizes=[1, 1], widths=[8, 16], attention_stages=[2]))


def test_packages_are_attributes():
    page = (Path(__file__).parents[2] / "docs/api.md").read_text()
    names = re.findall(r"^\.\. auto\w+:: (senet_jax\S*)", page, re.MULTILINE)
    assert len(names) > 40
    assert run_python(f"import senet_jax; print({', '.join(names)})").returncode == 0


def test_names_of_timms_users():
    model = create_model("se_resnet18", drop_path_rate=0.2, drop_rate=0.1)
    assert (model.drop_path, model.dropout, model.num_classes) == (0.2, 0.1, 1000)
