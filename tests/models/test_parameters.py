"""Numbers of parameters that the authors and independent implementations have."""

from functools import partial

import pytest
from flax.traverse_util import flatten_dict
from models.trees import count, golden, tree

from senet_jax import SqueezeExcite

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
    "resnet164_cifar": 1_704_154,
    "se_resnet164_cifar": 1_906_258,
    "preact_resnet20_cifar": 272_282,
    "preact_resnet110_cifar": 1_730_522,
    "se_preact_resnet110_cifar": 1_744_760,
    "preact_resnet164_cifar": 1_703_258,
    "se_preact_resnet164_cifar": 1_905_362,
    "wrn16_8_cifar": 10_961_370,
    "se_wrn16_8_cifar": 11_049_290,
    "wrn28_10_cifar": 36_479_194,
    "shake26_2x32d_cifar": 2_923_162,
    "shake26_2x96d_cifar": 26_192_922,
    "se_shake26_2x96d_cifar": 26_292_546,
    "shake29_2x4x64d_cifar": 34_437_450,
    "bn_inception": 11_285_224,
    "se_bn_inception": 11_931_622,
    "inception_resnet_v2": 55_843_464,
    "se_inception_resnet_v2": 64_387_444,
    "mobilenet": 4_231_976,
    "se_mobilenet": 4_718_044,
    "shufflenet": 1_865_728,
    "se_shufflenet": 2_484_533,
    "vgg11": 132_868_840,
    "vgg13": 133_053_736,
    "vgg16": 138_365_992,
    "se_vgg16": 138_596_784,
    "vgg19": 143_678_248,
}
"""Trainable parameters: of the authors' networks, and for the rest of timm, torchvision or imgclsmob."""
SE_BIASES = {
    "se_resnet50": 16_048,
    "se_preact_resnet110_cifar": 2_142,
    "se_preact_resnet164_cifar": 8_568,
    "se_wrn16_8_cifar": 1_904,
    "se_shake26_2x96d_cifar": 2_856,
    "se_bn_inception": 7_038,
    "se_inception_resnet_v2": 48_620,
    "se_mobilenet": 6_324,
    "se_shufflenet": 8_389,
    "se_vgg16": 4_488,
}
"""How many of them are biases of squeeze-and-excitation, which the paper leaves out."""

RATIOS = {2: 45_699_240, 4: 35_635_688, 8: 30_603_912, 32: 26_830_080}
"""SE-ResNet-50 at the other reduction ratios of the paper's table 10, with biases."""
RATIOS_WITHOUT_BIASES = {2: 45_676_584, 4: 35_616_808, 8: 30_586_920, 32: 26_814_504}
STAGES = {
    2: (25_581_608, 25_582_424),
    3: (25_688_104, 25_690_280),
    4: (26_343_464, 26_349_992),
    5: (27_129_896, 27_136_424),
}
"""SE-ResNet-50 with SE in one stage alone, without and with biases (table 13)."""


def se_biases(params):
    return {path: leaf for path, leaf in params.items() if "se" in path and path[-1] == "bias"}


def counts(name, **fields):
    """The number of parameters of a network, without and with the biases of squeeze-and-excitation."""
    params = flatten_dict(tree(name, **fields)["params"])
    return count(params) - count(se_biases(params)), count(params)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_exact(name):
    assert count(golden(name)) == PARAMETERS[name]


@pytest.mark.parametrize("name", SE_BIASES)
def test_biases_of_squeeze_and_excitation(name):
    assert count(se_biases(golden(name))) == SE_BIASES[name]


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.slow
@pytest.mark.parametrize("ratio", RATIOS)
def test_parameters_at_the_ratios_of_table_10(ratio):
    assert counts("se_resnet50", ratio=ratio) == (RATIOS_WITHOUT_BIASES[ratio], RATIOS[ratio])


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_parameters_with_one_stage_of_table_13(stage):
    assert counts("se_resnet50", attention_stages=(stage,)) == STAGES[stage]


@pytest.mark.usefixtures("unchecked_types")
def test_parameters_without_the_last_stage_and_without_biases():
    attention = partial(SqueezeExcite, use_bias=False)
    assert count(tree("resnet50", attention=attention, attention_stages=(2, 3, 4))["params"]) == 26_499_112


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("placement", "expected"),
    [
        ("post", (28_071_976, 28_088_024)),
        ("identity", (28_071_976, 28_088_024)),
        ("pre", (27_548_200, 27_562_140)),
        ("inner", (25_714_216, 25_718_228)),
    ],
)
def test_parameters_at_the_placements_of_tables_14_and_15(placement, expected):
    assert counts("se_resnet50", placement=placement) == expected
