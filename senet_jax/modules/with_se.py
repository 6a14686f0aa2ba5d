"""Squeeze-and-excitation in a network whose code has none."""

import inspect
import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from senet_jax.modules.attention import ATTENTIONS
from senet_jax.modules.batch_norm import unfused
from senet_jax.modules.squeeze_excite import SqueezeExcite, check_maker, made_class, recalibrated
from senet_jax.typing import ModuleDef


class WithSE(nn.Module):
    """Runs any Flax network with an SE block after each of its sub-modules that match, without a change to its code.

    `WithSE(ResNet(...), where="ResNetBlock_*/BatchNorm_1")` is called as the network is, but has none of its other
    methods. Its parameter tree is the network's with an entry `se` in every sub-module that matches, so that a
    checkpoint of the network fits all but these entries.

    Figure 3 of the paper has the block before the sum, after the residual branch's last normalisation, as in
    this example; a pattern for whole blocks gives SE-POST (section 6.5).
    """

    inner: nn.Module
    """Network that gets the blocks; modules in its fields are its own, not those of a network around it."""
    where: str | Sequence[str]
    """Shell patterns of the modules that get a block: ends of paths, such as "layer_?/Conv_1", or class names.

    Paths are those of the parameter tree, and `*` does not cross a slash; with a slash in front a pattern stands for
    the whole path, and "/" for the network itself.
    """
    attention: ModuleDef = SqueezeExcite
    """Function that makes the module after each match, such as `partial(SqueezeExcite, ratio=8)`; one that is not of
    this package can take other arrays than maps."""

    def __post_init__(self) -> None:
        """Raises ValueError if `inner` is no Flax module, if `where` has no pattern, or if `attention` is a module."""
        if not isinstance(self.inner, nn.Module):
            kind = type(self.inner).__name__
            given = f"the class {self.inner.__name__}" if isinstance(self.inner, type) else f"of type {kind}"
            raise ValueError(
                f"WithSE's inner is {given}; it must be an instance of a flax.linen module; an NNX network calls "
                "senet_jax.nnx.SqueezeExcite in its own code"
            )
        if not (self.where and all(self.where)):
            raise ValueError(
                f"WithSE's where is {self.where!r}; it must be one pattern or several, such as "
                "'ResNetBlock_*/BatchNorm_1'"
            )
        if not isinstance(self.where, str):
            self.where = tuple(self.where)  # A list has no hash, and a static argument needs one.
        check_maker(self.attention)
        super().__post_init__()

    @nn.compact
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the network's output for these arguments.

        Raises ValueError if a pattern matches nothing, or if a matching module does not return a floating-point array
        that the attention can take, (..., n, h, w, c), has a sub-module "se" already or is in `nn.jit`.
        """
        network = self.inner
        if network.path[: len(self.path)] == self.path:
            # Bound anew in this module's own place in the tree, where the name "inner" is free. `nn.share_scope` would
            # leave modules that the network has as fields with the paths and the initial values of "inner/...".
            network = network.copy(parent=self.scope and self.scope.rewound())
        patterns = (self.where,) if isinstance(self.where, str) else self.where
        recalibrate = _Recalibrate(network.path, patterns, self.attention)
        with unfused(), nn.intercept_methods(recalibrate):
            outputs = network(*args, **kwargs)
        unmatched = [pattern for pattern in patterns if pattern not in recalibrate.matched]
        if unmatched:
            choice = "".join(f"\n{kind}: {', '.join(paths)}" for kind, paths in recalibrate.candidates.items())
            raise ValueError(
                f"WithSE's where has {unmatched}, which no module of {type(network).__name__} matches; "
                f"the classes and paths that return maps (n, h, w, c) are:{choice or ' none'}"
            )
        return outputs


def with_train(network: nn.Module, arguments: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments of a call of the network, with train=False if it takes `train`, also in a `WithSE`."""
    while isinstance(network, WithSE):
        network = network.inner
    takes_train = "train" in inspect.signature(network.__call__).parameters
    return {"train": False} | arguments if takes_train else arguments


class _Recalibrate:
    """Intercepts the methods of one call of a network, and applies the attention to the output of each match."""

    def __init__(self, root: tuple[str, ...], patterns: Sequence[str], attention: ModuleDef) -> None:
        self.root = root
        self.patterns = patterns
        self.attention = attention
        self.least_dimensions = 4 if made_class(attention) in ATTENTIONS.values() else 1
        self.matched: set[str] = set()
        """Patterns that have matched a module."""
        self.candidates: dict[str, dict[str, None]] = {}
        """Paths of the modules that return maps, by class name; the numbers of parents are stars, to be short."""
        self.called: set[PurePosixPath] = set()
        self.running: set[PurePosixPath] = set()
        """Paths of matched modules that are being called."""
        self.in_attention = False

    def __call__(self, method: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        scope, kind = context.module.scope, type(context.module).__name__
        if context.method_name != "__call__" or scope is None or self.in_attention:
            return method(*args, **kwargs)
        path = PurePosixPath("/", *scope.path[len(self.root) :])
        self.called.add(path)
        matching = {pattern for pattern in self.patterns if path.match(pattern) or fnmatchcase(kind, pattern)}
        self.matched |= matching
        is_match = bool(matching) and path not in self.running  # It is running if __call__ calls super().__call__.
        if is_match:
            self.running.add(path)
        y = method(*args, **kwargs)
        is_maps = getattr(y, "ndim", 0) >= self.least_dimensions and jnp.issubdtype(y.dtype, jnp.floating)
        if is_maps:
            self.candidates.setdefault(kind, {})[re.sub(r"\d+(?=.*/)", "*", str(path))] = None
        if not is_match:
            return y
        self.running.remove(path)
        if not is_maps:
            given = f"shape {y.shape}, {y.dtype}" if hasattr(y, "shape") else f"a {type(y).__name__}"
            raise ValueError(f"WithSE needs maps (n, h, w, c); {path} ({kind}) matches and returns {given}")
        if path / "se" in self.called:
            raise ValueError(f'{path} ({kind}) matches WithSE\'s where and has a sub-module "se" already')
        if "jit(" in scope.path_text:  # Its trace may come from, or go to, a sub-module that does not match.
            raise ValueError(f"{path} ({kind}) matches WithSE's where and is in nn.jit; use jax.jit around the network")
        self.in_attention = True
        y = recalibrated(self.attention(parent=scope.push("se", reuse=True), name="se"), y)
        self.in_attention = False
        return y
