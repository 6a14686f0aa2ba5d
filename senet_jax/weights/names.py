"""Names of layers in other projects, by the paths of ours."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain

from senet_jax.models.bn_inception import BNInception
from senet_jax.models.inception_resnet import InceptionResNetV2
from senet_jax.models.mobilenet import MobileNet
from senet_jax.models.network import Network
from senet_jax.models.resnet import ResNet
from senet_jax.models.vgg import VGG

Naming = Callable[[str], str]
"""Function from the path of a layer, such as "stage2_block1/conv1", to its name in another project."""
_Rules = tuple[tuple[str, str | Callable[[re.Match], str]], ...]
"""Patterns and their replacements, applied in order."""
_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def namings(network: Network) -> Sequence[Naming]:
    """Returns the known namings of the network's layers in other projects, one for each kind of file.

    Raises ValueError if no other project's weights are known.
    """
    if isinstance(network, ResNet):
        return [_BY_TIMM_AVERAGE] if _averages(network) else _RESNET
    if isinstance(network, VGG):
        return [partial(_vgg, stage_sizes=network.stage_sizes)]
    others = {BNInception: _CAFFE_INCEPTION, InceptionResNetV2: _INCEPTION_RESNET, MobileNet: _MOBILENET}
    if type(network) not in others:
        raise ValueError(f"no other project's weights are known for a {type(network).__name__}, only senet_jax's own")
    return [others[type(network)]]


def timm_naming(name: str, network: Network) -> Naming:
    """Returns the naming of timm's network of that name."""
    if not isinstance(network, ResNet):
        return namings(network)[0]
    if name.startswith("legacy_"):
        return _BY_CADENE
    if name.endswith("ts"):
        return _BY_TIMM_TS
    return _BY_TIMM_AVERAGE if _averages(network) else _BY_TIMM


def _averages(network: ResNet) -> bool:
    """Returns whether shortcuts begin with a mean, as in timm's networks alone; their layers have other numbers."""
    return getattr(network.block, "keywords", {}).get("average_shortcut", False)


def tensor_names(naming: Naming, paths: Iterable[str]) -> dict[str, str]:
    """Returns the name of each variable in a state dict, such as "bn1.weight" of "params/stem/norm/scale"."""
    names = {}
    for path in paths:
        layer, _, leaf = path.partition("/")[2].rpartition("/")
        names[path] = f"{naming(layer)}.{_LEAVES.get(leaf, leaf)}"
    return names


def _naming(*rules: _Rules, separator: str = ".") -> Naming:
    def name(path: str) -> str:
        for pattern, replacement in chain(*rules):
            path = re.sub(pattern, replacement, path)
        return path.replace("/", separator)

    return name


def _numbered(template: str, first_stage: int) -> _Rules:
    """Returns rules for names in which stages count from `first_stage` and blocks from 0."""
    return ((r"^stage(\d+)_block(\d+)", lambda match: template.format(int(match[1]) - first_stage, int(match[2]) - 1)),)


def _from_zero(pattern: str, prefix: str) -> _Rules:
    """Returns rules for a pattern with one number, from 1, which becomes the prefix and the number from 0."""
    return ((pattern, lambda match: f"{prefix}{int(match[1]) - 1}"),)


_TIMM: _Rules = (
    *_numbered("layer{}.{}", first_stage=1),
    ("^stem/conv$", "conv1"),
    ("^stem/norm$", "bn1"),
    ("^stem/conv1", "conv1.0"),
    ("^stem/norm1", "conv1.1"),
    ("^stem/conv2", "conv1.3"),
    ("^stem/norm2", "conv1.4"),
    ("^stem/conv3", "conv1.6"),
    ("^stem/norm3", "bn1"),
    ("/se/reduce", "/se/fc1"),
    ("/se/expand", "/se/fc2"),
    ("shortcut_conv", "downsample.0"),
    ("shortcut_norm", "downsample.1"),
    ("/norm", "/bn"),
    ("^head$", "fc"),
)
"""Rules for ResNets of timm and torchvision, such as "layer1.0.se.fc1"."""
_AVERAGE_SHORTCUT: _Rules = (("shortcut_conv", "downsample.1"), ("shortcut_norm", "downsample.2"))
_CADENE: _Rules = (
    ("^stem/(conv|norm)$", r"layer0/\g<1>1"),
    ("^stem", "layer0"),
    ("/se/reduce", "/se_module/fc1"),
    ("/se/expand", "/se_module/fc2"),
    ("^head$", "last_linear"),
)
"""Rules for networks that came from Caffe, such as "layer1.0.se_module.fc1"."""
_NVIDIA: _Rules = (("/se/reduce", "/squeeze/squeeze"), ("/se/expand", "/squeeze/expand"))
"""Rules for NVIDIA's networks, such as "layers.0.0.squeeze.expand"; older files have "layer1.0"."""
_TIMM_TS: _Rules = (
    *_numbered("stages.{}.{}", first_stage=2),
    (r"^stem/(conv|norm)(\d)", r"stem/conv\2/\1"),
    ("^head_conv", "final_conv"),
    (r"(\.\d+)/(conv|norm)1", r"\1/conv1_1x1/\2"),
    (r"(\.\d+)/(conv|norm)2", r"\1/conv2_kxk/\2"),
    (r"(\.\d+)/(conv|norm)3", r"\1/conv3_1x1/\2"),
    ("shortcut_(conv|norm)", r"shortcut/\1"),
    ("/se/reduce", "/attn/fc1"),
    ("/se/expand", "/attn/fc2"),
    ("/norm", "/bn"),
    ("^head$", "head/fc"),
)
"""Rules for the `ts` networks of timm, such as "stages.0.0.conv2_kxk.bn"."""
_CAFFE: _Rules = (
    (r"norm(\d?)$", r"conv\1/bn"),
    ("^stem/conv1", "conv1_1/3x3_s2"),
    ("^stem/conv2", "conv1_2/3x3"),
    ("^stem/conv3", "conv1_3/3x3"),
    ("^stem/conv", "conv1/7x7_s2"),
    (r"^stage(\d)_block(\d+)/", r"conv\1_\2_"),
    ("_conv1", "_1x1_reduce"),
    ("_conv2", "_3x3"),
    ("_conv3", "_1x1_increase"),
    ("_shortcut_conv", "_1x1_proj"),
    ("_se/reduce", "_1x1_down"),
    ("_se/expand", "_1x1_up"),
    ("^head$", "classifier"),
)
"""Rules for the authors' ResNets, from `caffe.to_state_dict`, such as "conv2_1_1x1_reduce/bn"."""
_CAFFE_INCEPTION = _naming(
    (
        ("/conv$", ""),
        ("/norm$", "/bn"),
        (r"^conv(\d)_", r"conv\1/"),
        ("/se/reduce", "_1x1_down"),
        ("/se/expand", "_1x1_up"),
        ("^head$", "classifier"),
    ),
    separator="/",
)
"""Rules for the authors' BN-Inception, such as "inception_3a/1x1/bn"."""
_BY_TIMM = _naming(_TIMM)
_BY_TIMM_AVERAGE = _naming(_AVERAGE_SHORTCUT, _TIMM)
_BY_TIMM_TS = _naming(_TIMM_TS)
_BY_CADENE = _naming(_CADENE, _TIMM)
_RESNET = (
    _BY_TIMM,
    _BY_CADENE,
    _naming(_numbered("layers.{}.{}", first_stage=2), _NVIDIA, _TIMM),
    _naming(_NVIDIA, _TIMM),
    _BY_TIMM_TS,
    _naming(_CAFFE, separator="/"),
)
_MOBILENET = _naming(
    _numbered("blocks.{}.{}", first_stage=1),
    (
        ("^stem/conv$", "conv_stem"),
        ("^stem/norm$", "bn1"),
        ("depthwise/conv", "conv_dw"),
        ("depthwise/norm", "bn1"),
        ("pointwise/conv", "conv_pw"),
        ("pointwise/norm", "bn2"),
        ("^head$", "classifier"),
    ),
)
"""Names of timm's MobileNet, such as "blocks.1.0.conv_dw" for "stage2_block1/depthwise/conv"."""
_INCEPTION_RESNET = _naming(
    (
        ("mixed_5b/branch3_conv1", "mixed_5b/branch3.1"),
        ("block8_10", "block8"),
        ("(?<!mixed_7a/)branch0_conv1", "branch0"),
        ("/norm", "/bn"),
        ("/linear", "/conv2d"),
        ("^head", "classif"),
    ),
    _from_zero(r"_conv(\d)", "."),
    _from_zero(r"^block35_(\d+)", "repeat."),
    _from_zero(r"^block17_(\d+)", "repeat_1."),
    _from_zero(r"^block8_(\d+)", "repeat_2."),
)
"""Names of timm's Inception-ResNet-v2, such as "repeat.0.branch1.1" for "block35_1/branch1_conv2"; the last number is
missing if the branch has one convolution."""


def _vgg(path: str, stage_sizes: Sequence[int]) -> str:
    """Names layers of timm's VGG: "conv3_1/norm" is "features.15" in VGG-16; convolutions have 3 layers, maxima 1."""
    if layer := re.match(r"conv(\d)_(\d)/(conv|norm)", path):
        stage, number = int(layer[1]), int(layer[2])
        index = 3 * (sum(stage_sizes[: stage - 1]) + number - 1) + stage - 1
        return f"features.{index + (layer[3] == 'norm')}"
    return path.replace("fc", "pre_logits.fc").replace("head", "head.fc")
