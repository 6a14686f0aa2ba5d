"""Every network by its name, plain and, with `se_` before it, with squeeze-and-excitation."""

import dataclasses
import difflib
import fnmatch
import inspect
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from senet_jax.models import (
    bn_inception,
    inception_resnet,
    mobilenet,
    preact_resnet,
    resnet,
    resnext,
    senet,
    shake,
    shufflenet,
    timm,
    vgg,
    wide_resnet,
)
from senet_jax.models.network import Network
from senet_jax.modules import ATTENTIONS, SqueezeExcite
from senet_jax.modules.squeeze_excite import check_maker, made_class
from senet_jax.ops import ACTIVATIONS
from senet_jax.schema import did_you_mean
from senet_jax.typing import ModuleDef

_FAMILIES = (
    resnet,
    resnext,
    bn_inception,
    inception_resnet,
    vgg,
    mobilenet,
    shufflenet,
    preact_resnet,
    wide_resnet,
    shake,
)
_NETWORKS: dict[str, partial] = {
    prefix + name: partial(network, attention=attention)
    for family in _FAMILIES
    for name, network in family.NETWORKS.items()
    for prefix, attention in (("", None), ("se_", SqueezeExcite))
}
_NETWORKS |= {
    "senet154": partial(senet.SENET154, attention=SqueezeExcite),
    "nvidia/resnet50": timm.NETWORKS["resnet50"],
    "nvidia/resnext101_32x4d": timm.NETWORKS["resnext101_32x4d"],
    "nvidia/se_resnext101_32x4d": partial(
        timm.NETWORKS["resnext101_32x4d"], attention=partial(SqueezeExcite, hidden=16)
    ),
    "timm/inception_resnet_v2": _NETWORKS["inception_resnet_v2"],
    "timm/mobilenetv1_100": _NETWORKS["mobilenet"],
    "timm/mobilenetv1_125": partial(_NETWORKS["mobilenet"], width_multiplier=1.25),
    **{f"timm/vgg{depth}_bn": _NETWORKS[f"vgg{depth}"] for depth in (11, 13, 16, 19)},
    **{f"timm/{name}": network for name, network in timm.NETWORKS.items()},
}


def list_models(pattern: str = "*", *, pretrained: bool = False) -> list[str]:
    """Returns the names of networks that match a shell pattern such as "se_*"; plain ones precede their SE twins.

    Networks of other projects have the project before their name, as in "timm/seresnet50". With `pretrained` the names
    are those of weights instead, repositories of Hugging Face that `senet_jax.load` takes: "timm/seresnet50.ra2_in1k".
    """
    return fnmatch.filter(_RELEASED.read_text(encoding="utf-8").split() if pretrained else _NETWORKS, pattern)


_RELEASED = Path(__file__).with_name("released.txt")
"""Repositories of timm 1.0.31's weights for networks that are here."""
_NAMES_IN_TIMM = {"drop_path_rate": "drop_path", "drop_rate": "dropout"}
_NAMED: dict[str, Mapping[Any, ModuleDef]] = {"attention": ATTENTIONS, "activation": ACTIVATIONS}
"""Fields that can be names of functions."""


def default_input(name: str) -> tuple[int, int]:
    """Returns the number of classes and the image size in pixels of the dataset that a network was made for."""
    if name.endswith("_cifar"):
        return 10, 32
    return 1000, 299 if name.endswith("inception_resnet_v2") else 224


def create_model(name: str, num_classes: int | None = None, *, ratio: float | None = None, **overrides: Any) -> Network:
    """Makes a network, a `flax.linen.Module` with `init(key, images, train=False)` and `apply(variables, images, ...)`.

    Args:
      name: one of `list_models()`.
      num_classes: width of the logits, or 0 for pooled features; None: that of the dataset it was made for.
      ratio: reduction ratio of the attention modules, for networks that have them; None: their own, 16.
      **overrides: fields of the network, such as `dtype`, `norm` or `placement`. `attention` can also be a name in
        `modules.ATTENTIONS`, and `activation` one in `ops.ACTIVATIONS`. Names of timm's are understood:
        `drop_path_rate`, `drop_rate`, and `features_only` with `out_indices`, for a network without a last layer that
        returns a list of maps.

    Raises ValueError for an impossible name, override or value, with the possible ones.
    """
    network = _named("network", name, _NETWORKS)
    overrides = _renamed(overrides)
    if overrides.get("features_only"):
        num_classes = 0
    attention = overrides.pop("attention", network.keywords.get("attention"))
    check_maker(attention)
    if ratio is not None:
        if attention is None:
            twin = f"; did you mean 'se_{name}'?" if f"se_{name}" in _NETWORKS else ""
            raise ValueError(f"{name} has no squeeze-and-excitation and so takes no ratio{twin}")
        if not dataclasses.is_dataclass(made_class(attention)):
            raise ValueError(f"ratio is for a class of attention or its partial; give {attention!r} the ratio itself")
        if "ratio" not in _fields(attention):
            raise ValueError(f"{made_class(attention).__name__} has no ratio; leave it out")
        keywords = getattr(attention, "keywords", {})
        attention = partial(attention, ratio=ratio, **({"hidden": None} if "hidden" in keywords else {}))
    if isinstance(made := made_class(attention), type):
        if "param_dtype" not in _fields(made):
            raise ValueError(
                f"attention makes a {made.__name__}, which has no field `param_dtype`; give a class with the fields "
                "`name` and `param_dtype` and the call (x), or a function of both that makes one"
            )
        attention(parent=None)  # Raises ValueError if the ratio is impossible.
    for override in overrides:
        if override not in _fields(network):
            known = sorted({*_fields(network), *_NAMES_IN_TIMM, "ratio"})
            raise ValueError(
                f"{name} has no field {override!r}; its fields are {', '.join(known)}{did_you_mean(override, known)}"
            )
    if "norm" in overrides:
        _check_norm(overrides["norm"])
    if num_classes is None:
        num_classes = default_input(name)[0]
    return network(num_classes=num_classes, attention=attention, **overrides)


def _check_norm(norm: Any) -> None:
    """Raises ValueError if a class, or a partial of it, has no `param_dtype`, or is not called with `train`."""
    made = made_class(norm)
    if not isinstance(made, type):
        return
    parameters = inspect.signature(made.__call__).parameters
    takes_train = "train" in parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    if not takes_train or "param_dtype" not in _fields(made):
        lacks = "which has no field `param_dtype`" if takes_train else "whose call has no `train`"
        raise ValueError(
            f"norm makes a {made.__name__}, {lacks}; give a class with the fields `name` and `param_dtype` and the "
            "call (x, *, train), which can contain it"
        )


def _renamed(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the overrides by our names of the fields. Raises ValueError if one is given by both names."""
    for theirs, ours in _NAMES_IN_TIMM.items():
        if theirs in overrides and ours in overrides:
            raise ValueError(f"{theirs} and {ours} are names of the same field; give one of them")
    return {_NAMES_IN_TIMM.get(field, field): _understood(field, value) for field, value in overrides.items()}


def _understood(field: str, value: Any) -> Any:
    """Returns the function of a name, and a tuple of a list or set, which could not be hashed."""
    if isinstance(value, str) and field in _NAMED:
        return _named(field, value, _NAMED[field])
    return tuple(value) if isinstance(value, list | set) else value


def _named(kind: str, name: str, known: Mapping[Any, Any]) -> Any:
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=4, cutoff=0.0)
        raise ValueError(f"there is no {kind} {name!r}; the nearest are {', '.join(nearest)}")
    return known[name]


def _fields(definition: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(made_class(definition))} - {"parent", "name"}
