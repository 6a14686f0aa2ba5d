"""Every network by its name, plain and, with `se_` before it, with squeeze-and-excitation."""

import dataclasses
import difflib
import fnmatch
from functools import partial
from typing import Any

from flax import linen as nn

from senet_jax.models import resnet, resnext, senet
from senet_jax.modules import SqueezeExcite

_PLAIN = resnet.NETWORKS | resnext.NETWORKS
_WITH_SE = {f"se_{name}": network for name, network in _PLAIN.items()} | {"senet154": senet.SENET154}
_NAMES = [prefix + name for name in _PLAIN for prefix in ("", "se_")] + ["senet154"]


def list_models(pattern: str = "*") -> list[str]:
    """Names of the networks that match a shell pattern such as "se_*", each plain one before its twin with SE."""
    return fnmatch.filter(_NAMES, pattern)


def create_model(name: str, num_classes: int = 1000, *, ratio: float | None = None, **overrides: Any) -> nn.Module:
    """A network as a `flax.linen.Module`: `init(key, images, train=False)`, `apply(variables, images, train=False)`.

    Args:
      name: one of `list_models()`.
      num_classes: width of the logits.
      ratio: reduction ratio of the squeeze-and-excitation blocks, for networks that have them; None: 16.
      **overrides: fields of the network's module, such as `dtype`, `norm` or `attention`.

    Raises ValueError for a name, an override or a value that is not possible, with those that are.
    """
    if name not in _NAMES:
        nearest = difflib.get_close_matches(name, _NAMES, n=4, cutoff=0.0)
        raise ValueError(f"there is no network {name!r}; the nearest are {', '.join(nearest)}")
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes}; a network has at least 1 class")
    if ratio is not None:
        if name not in _WITH_SE:
            raise ValueError(f"{name} has no squeeze-and-excitation, so no ratio; did you mean 'se_{name}'?")
        if "attention" in overrides:
            raise ValueError("give ratio or attention, not both; attention=partial(SqueezeExcite, ratio=8) says both")
    allowed = {field.name for field in dataclasses.fields(resnet.ResNet)} - {"parent", "name"}
    for override in overrides:
        if override not in allowed:
            raise ValueError(f"{name} has no field {override!r}; its fields are {', '.join(sorted(allowed))}")
    if name in _WITH_SE:
        attention = partial(SqueezeExcite, ratio=16 if ratio is None else ratio)
        attention(parent=None)  # Refuses an impossible ratio at once.
        overrides.setdefault("attention", attention)
    return (_PLAIN | _WITH_SE)[name](num_classes=num_classes, **overrides)
