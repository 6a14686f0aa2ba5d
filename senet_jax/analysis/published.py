"""Published figures of the networks, to compare with our counts (Hu et al., arXiv 1709.01507)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from senet_jax.analysis import comparison
from senet_jax.analysis.cost import cost
from senet_jax.config import ModelConfig
from senet_jax.models import default_input
from senet_jax.models.parameters import count_parameters
from senet_jax.weights.configured import build_model


@dataclass(frozen=True)
class Published:
    """A network and its figures in a table of the paper."""

    model: str
    table: str
    fields: dict[str, Any] = field(default_factory=dict)
    """Fields of `ModelConfig` besides the name."""
    parameters: str = ""
    """Parameters in millions; the paper counts running statistics too."""
    giga_multiply_adds: str = ""
    """Multiply-adds of one image, in 10^9."""
    error: str = ""
    """Error in per cent with a single crop: ImageNet top-1 / top-5, or CIFAR-10; CIFAR-100."""
    weights: str = ""
    """Released weights that can be loaded."""


_CAFFE = "authors (Caffe), Cadene, timm/legacy_"
_CIFAR = "4, 5"

NETWORKS = (
    Published("resnet50", "2", giga_multiply_adds="3.86", error="24.80 / 7.48"),
    Published("se_resnet50", "2", giga_multiply_adds="3.87", error="23.29 / 6.62", weights=f"{_CAFFE}seresnet50"),
    Published("resnet101", "2", giga_multiply_adds="7.58", error="23.17 / 6.52"),
    Published("se_resnet101", "2", giga_multiply_adds="7.60", error="22.38 / 6.07", weights=f"{_CAFFE}seresnet101"),
    Published("resnet152", "2", giga_multiply_adds="11.30", error="22.42 / 6.34"),
    Published("se_resnet152", "2", giga_multiply_adds="11.32", error="21.57 / 5.73", weights=f"{_CAFFE}seresnet152"),
    Published("resnext50_32x4d", "2", giga_multiply_adds="4.24", error="22.11 / 5.90"),
    Published(
        "se_resnext50_32x4d", "2", giga_multiply_adds="4.25", error="21.10 / 5.49", weights=f"{_CAFFE}seresnext50_32x4d"
    ),
    Published("resnext101_32x4d", "2", giga_multiply_adds="7.99", error="21.18 / 5.57"),
    Published(
        "se_resnext101_32x4d",
        "2",
        giga_multiply_adds="8.00",
        error="20.70 / 5.01",
        weights=f"{_CAFFE}seresnext101_32x4d",
    ),
    Published("vgg16", "2", giga_multiply_adds="15.47", error="27.02 / 8.81", weights="timm/vgg16_bn"),
    Published("se_vgg16", "2", giga_multiply_adds="15.48", error="25.22 / 7.70"),
    Published("bn_inception", "2", giga_multiply_adds="2.03", error="25.38 / 7.89"),
    Published("se_bn_inception", "2", giga_multiply_adds="2.04", error="24.23 / 7.14", weights="authors (Caffe)"),
    Published(
        "inception_resnet_v2", "2", giga_multiply_adds="11.75", error="20.37 / 5.21", weights="timm/inception_resnet_v2"
    ),
    Published("se_inception_resnet_v2", "2", giga_multiply_adds="11.76", error="19.80 / 4.79"),
    Published(
        "mobilenet",
        "3",
        giga_multiply_adds="0.569",
        parameters="4.2",
        error="28.4 / 9.4",
        weights="timm/mobilenetv1_100",
    ),
    Published("se_mobilenet", "3", giga_multiply_adds="0.572", parameters="4.7", error="25.3 / 7.7"),
    Published("shufflenet", "3", giga_multiply_adds="0.140", parameters="1.8", error="32.6 / 12.5"),
    Published("se_shufflenet", "3", giga_multiply_adds="0.142", parameters="2.4", error="31.0 / 11.1"),
    Published("senet154", "8", error="18.68 / 4.47", weights=f"{_CAFFE}senet154, timm/senet154"),
    Published("preact_resnet110_cifar", _CIFAR, error="6.37; 26.88"),
    Published("se_preact_resnet110_cifar", _CIFAR, error="5.21; 23.85"),
    Published("preact_resnet164_cifar", _CIFAR, error="5.46; 24.33"),
    Published("se_preact_resnet164_cifar", _CIFAR, error="4.39; 21.31"),
    Published("wrn16_8_cifar", _CIFAR, error="4.27; 20.43"),
    Published("se_wrn16_8_cifar", _CIFAR, error="3.88; 19.14"),
    Published("shake26_2x96d_cifar", "4", error="2.56 (with Cutout)"),
    Published("se_shake26_2x96d_cifar", "4", error="2.12 (with Cutout)"),
    Published("shake29_2x4x64d_cifar", "5", error="15.85 on CIFAR-100 (with Cutout)"),
    Published("se_shake29_2x4x64d_cifar", "5", error="15.41 on CIFAR-100 (with Cutout)"),
)
"""Networks of tables 2 to 5 and 8."""


def _ablation(table: str, parameters: str, giga_multiply_adds: str, error: str, **fields: Any) -> Published:
    return Published("se_resnet50", table, {"use_bias": False} | fields, parameters, giga_multiply_adds, error)


ABLATIONS = (
    Published("resnet50", "10", {}, "25.6", "3.86", "23.30 / 6.55"),
    _ablation("10", "45.7", "", "22.29 / 6.00", ratio=2),
    _ablation("10", "35.7", "", "22.25 / 6.09", ratio=4),
    _ablation("10", "30.7", "", "22.26 / 5.99", ratio=8),
    _ablation("10", "28.1", "3.87", "22.28 / 6.03", ratio=16),
    _ablation("10", "26.9", "", "22.72 / 6.20", ratio=32),
    _ablation("13", "25.6", "3.86", "23.03 / 6.48", attention_stages=(2,)),
    _ablation("13", "25.7", "3.86", "23.04 / 6.32", attention_stages=(3,)),
    _ablation("13", "26.4", "3.86", "22.68 / 6.22", attention_stages=(4,)),
    _ablation("15", "25.8", "3.86", "22.48 / 6.02", placement="inner"),
    _ablation("16", "28.1", "4.27", "22.93 / 6.39", squeeze="none"),
)
"""SE-ResNet-50 of tables 10, 13, 15 and 16, which has no biases in its dense layers (section 6)."""

TITLES = {
    "network": "network",
    "parameters": "parameters",
    "statistics": "running statistics",
    "giga_multiply_adds": "G multiply-adds",
    "paper_parameters": "paper: M",
    "paper_giga_multiply_adds": "paper: G multiply-adds",
    "paper_error": "paper: error, %",
    "table": "table",
    "weights": "weights to load",
}
"""Titles of the columns of networks.csv."""


def networks_table(rows: Sequence[dict[str, str]]) -> str:
    """Returns the rows of networks.csv as a Markdown table, without columns that are empty in all rows."""
    columns = [name for name in TITLES if any(row[name] for row in rows)]
    return comparison.markdown([{TITLES[name]: row[name] for name in columns} for row in rows])


def counted(published: Published) -> dict[str, str]:
    """Returns the row of a network: its counts here beside the published ones."""
    classes, size = default_input(published.model)
    model = build_model(ModelConfig(published.model, **published.fields), classes)
    counts = cost(model, size).total
    words = [f"{name}={value}" for name, value in published.fields.items() if name != "use_bias"]
    return {
        "network": ", ".join([published.model, *words]),
        "parameters": f"{counts.parameters:,}",
        "statistics": f"{count_parameters(model, size, collection='batch_stats'):,}",
        "giga_multiply_adds": f"{counts.multiply_adds / 1e9:.4f}",
        "paper_parameters": published.parameters,
        "paper_giga_multiply_adds": published.giga_multiply_adds,
        "paper_error": published.error,
        "table": published.table,
        "weights": published.weights,
    }
