import pytest

from senet_jax import create_model, list_models


def test_every_network_has_its_twin_but_senet154():
    plain, with_se = list_models("res*"), list_models("se_*")
    assert with_se == [f"se_{name}" for name in plain]
    assert plain[0] == "resnet18"
    assert "resnet110_cifar" in plain
    assert set(list_models()) == {*plain, *with_se, "senet154"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "se_resnet5"}, "no network 'se_resnet5'; the nearest are se_resnet50"),
        (
            {"name": "resnet50", "ratio": 8},
            "resnet50 has no squeeze-and-excitation, so no ratio; did you mean 'se_resnet50'",
        ),
        ({"name": "se_resnet50", "ratio": 0}, "ratio is 0; it must be a positive number"),
        ({"name": "se_resnet50", "ratio": 4, "attention": None}, "give ratio or attention, not both"),
        ({"name": "se_resnet50", "widht": 32}, "se_resnet50 has no field 'widht'; its fields are .*width"),
        ({"name": "se_resnet50", "num_classes": 0}, "num_classes is 0"),
    ],
)
def test_what_cannot_be_is_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        create_model(**arguments)
