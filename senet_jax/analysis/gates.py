"""Observation and replacement of the gates of attention modules in any network."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from flax.linen.module import InterceptorContext

from senet_jax import ops
from senet_jax.modules.batch_norm import unfused
from senet_jax.modules.squeeze_excite import Attention
from senet_jax.modules.with_se import with_train
from senet_jax.typing import Array

_COLLECTION = "excitations"


class ObservedNetwork:
    """(variables, images, constants) -> output of the network, and the list of gates (n, c) of each of `paths`.

    `constants` are gates (c,) by path, which replace the network's own unless they are NaN.

    Our attention modules are observed, whatever their names; if one has several gates for a channel of an image, their
    mean is. The gates of another module named "se" are the factors of channels that come nearest to its output.

    A call can be traced by `jax.jit`. It raises ValueError if a module has no gates, or uses them twice.
    """

    def __init__(self, model: nn.Module, arguments: dict[str, Any]):
        """Wraps a network; `arguments`: those of its call besides images. train=False is added if it takes `train`."""
        self._network = type(model).__name__
        self._apply = partial(model.apply, mutable=[_COLLECTION], **with_train(model, arguments))
        self._places: dict[str, tuple[str, ...]] = {}

    @property
    def paths(self) -> list[str]:
        """Paths of the modules with gates, such as "stage2_block3", in the order of the calls; empty before a call."""
        return list(self._places)

    def __call__(
        self, variables: Any, images: Any, constants: Mapping[str, Any] | None = None
    ) -> tuple[Array, list[Array]]:
        with unfused(), nn.intercept_methods(_Interceptor(self._places, constants or {})):
            output, state = self._apply(variables, images)
        if not self._places:
            raise ValueError(
                f'{self._network} has no gates to observe: no attention module of senet_jax, and no module named "se"'
            )
        return output, [_only_gates(state.get(_COLLECTION, {}), place) for place in self._places.values()]


class _Interceptor:
    """Interceptor of the methods of one call of a network."""

    def __init__(self, places: dict[str, tuple[str, ...]], constants: Mapping[str, Any]):
        self.places = places
        self.constants = constants
        self.attention: tuple[str, ...] | None = None
        """Path of the running attention module; None: none is running."""
        self.channels = 0
        """Channels of its input."""

    def __call__(self, call: Callable[..., Any], args: Any, kwargs: Any, context: InterceptorContext) -> Any:
        module: Any = context.module
        ours = isinstance(module, Attention)
        if self.attention is not None:
            y = call(*args, **kwargs)
            makes_gates = ours and (module.path, context.method_name) == (self.attention, "gates")
            # Gates of positions are left alone.
            return self.observe(module, y) if makes_gates and y.shape[-1] == self.channels else y
        if not args or not (ours or (module.name, context.method_name) == ("se", "__call__")):
            return call(*args, **kwargs)
        self.attention, self.channels = module.path, args[0].shape[-1]
        y = call(*args, **kwargs) if ours else self.other(module, call, args, kwargs)
        self.attention = None
        if _path(module) not in self.places:
            raise ValueError(f"{_path(module)} ({type(module).__name__}) has no gates: it does not scale channels")
        return y

    def other(self, module: Any, call: Callable[..., Any], args: Any, kwargs: Any) -> Array:
        """Estimates the gates by least squares over positions."""
        x, *more = args
        lives = (x != 0).any((-3, -2), keepdims=True)
        probe = jnp.where(lives, x, jnp.asarray(1e-6, x.dtype))  # The factor of a zero is unknown.
        y, scaled = jnp.split(call(jnp.concatenate([x, probe]), *more, **kwargs), 2)
        if y.shape != x.shape:
            raise ValueError(f"{_path(module)} returns {y.shape} for maps {x.shape}; it must return the scaled maps")
        before, after = probe.astype(jnp.float32), scaled.astype(jnp.float32)
        own = (before * after).sum((-3, -2)) / jnp.square(before).sum((-3, -2))
        gates = self.observe(module, own)
        return jnp.where((gates == own)[..., None, None, :], y, ops.scale(x, gates))

    def observe(self, module: Any, gates: Array) -> Array:
        """Records the gates, and returns those to use."""
        self.places[_path(module)] = module.path
        by_image = gates.astype(jnp.float32).reshape(gates.shape[0], -1, gates.shape[-1]).mean(1)
        module.sow(_COLLECTION, "gates", by_image)  # Flax lifts it out of its transformations.
        constant = self.constants.get(_path(module))
        return gates if constant is None else jnp.where(jnp.isnan(constant), gates, constant.astype(gates.dtype))


def _path(module: nn.Module) -> str:
    *holder, name = module.path or ("",)
    return "/".join(holder if name == "se" and holder else (*holder, name))


def _only_gates(tree: Any, place: tuple[str, ...]) -> Array:
    for name in place:
        if name not in tree:
            raise ValueError(
                f"the gates of {'/'.join(place)} do not leave nn.scan or nn.vmap; give these variable_axes with "
                f"{_COLLECTION!r}, or observe the network without them"
            )
        tree = tree[name]
    if len(tree["gates"]) > 1:
        raise ValueError(
            f"the gates of {'/'.join(place)} are used {len(tree['gates'])} times in a call; it must be once"
        )
    return tree["gates"][0]
