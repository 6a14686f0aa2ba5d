"""Batch normalisation whose statistics do not depend on the number of devices."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from flax.linen.module import InterceptorContext

from senet_jax import ops
from senet_jax.ops.plain import is_explicit, plain
from senet_jax.typing import Array, Float


class BatchNorm(nn.Module):
    """Batch normalisation by the statistics of groups of examples (ghost batch normalisation, arXiv 1705.08741).

    Outside of training the running statistics are used.

    Parameters: `scale` and `bias` (c,); in `batch_stats`, `mean` and `var` (c,), as in `flax.linen.BatchNorm`. The
    running variance is the unbiased one, as in PyTorch and in Caffe, with which the authors trained.
    """

    group: int | None = None
    """Number of successive examples that share statistics; None: the whole batch, over all devices. Within a
    `jax.shard_map` or a `jax.pmap` of your own, the batch is the part of each device."""
    momentum: float = 0.9
    """Share of the running statistics that one step keeps (0.9 here is 0.1 in PyTorch)."""
    epsilon: float = 1e-5
    """Term added to the variance."""
    param_dtype: Any = jnp.float32
    """Dtype of the parameters and of the running statistics."""
    fused: bool = True
    """Whether blocks compute the output together with the operations that follow it (`ops.Normalised`): the same
    numbers from fewer passes, differentiable once, in reverse. `capture_intermediates` and `nn.intercept_methods` then
    miss calls of the normalisation; `with modules.unfused():` around `apply` shows them every layer. Maps that are
    divided along explicit axes of a mesh are not fused."""

    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n h w c"]:
        """Returns the normalised x in its dtype; the statistics are computed in float32 at least.

        Raises ValueError if x does not have four dimensions, or if the group does not divide the batch.
        """
        if train and self.fuses(x):
            return self.normalise_lazily(x, train=True).compute()
        scale, bias, mean, var = self._values(x)
        if not train:
            return ops.normalise(x, mean[None], var[None], scale, bias, self.epsilon)
        mean, var = ops.group_moments(x, self.group)
        self._follow(mean, var, x.shape)
        return ops.normalise(x, mean, var, scale, bias, self.epsilon)

    def normalise_lazily(
        self, x: Float[Array, "n h w c"], *, train: bool, x_mean: Float[Array, "n c"] | None = None
    ) -> ops.Normalised:
        """Returns the output, not computed yet; `x_mean`: mean of x over its positions, if it is known already.

        Frozen statistics are `train=False` here, within a step of training.
        """
        scale, bias, mean, var = self._values(x)
        if not train:
            x_mean = ops.squeeze(x) if x_mean is None else x_mean
            return ops.normalise_lazily(x, x_mean, mean, var, scale, bias, self.epsilon)
        normalised, mean, var = ops.batch_normalise(x, scale, bias, self.epsilon, self.group)
        self._follow(mean, var, x.shape)
        return normalised

    def fuses(self, x: Array) -> bool:
        """Returns `fused`, but False in a subclass with its own `__call__` and for explicit axes; see `unfused`."""
        return self.fused and type(self).__call__ is BatchNorm.__call__ and not is_explicit(x)

    @nn.compact
    def _values(self, x: Array) -> tuple[Array, Array, Array, Array]:
        """Returns scale, bias and the running mean and variance."""
        if x.ndim != 4:
            raise ValueError(f"BatchNorm takes inputs (n, height, width, channels); given one of shape {x.shape}")
        if 0 in x.shape[1:3]:
            place = "/".join(self.path) or "BatchNorm"
            raise ValueError(f"{place} is given maps of {x.shape[1]}x{x.shape[2]}; the images are too small")
        channels = x.shape[-1]
        return (
            self.param("scale", nn.initializers.ones, (channels,), self.param_dtype),
            self.param("bias", nn.initializers.zeros, (channels,), self.param_dtype),
            self.variable("batch_stats", "mean", jnp.zeros, (channels,), self.param_dtype).value,
            self.variable("batch_stats", "var", jnp.ones, (channels,), self.param_dtype).value,
        )

    def _follow(self, mean: Array, var: Array, shape: tuple[int, ...]) -> None:
        """Updates the running mean and variance by those of the groups of a batch of that shape."""
        if self.is_initializing():
            return
        n, height, width, _ = shape
        values = ops.group_size(n, self.group) * height * width  # Of a channel in a group.
        if values == 1:
            raise ValueError(
                f"{'/'.join(self.path) or 'batch normalisation'} has one value for each channel of a statistics group: "
                "its output would not depend on the images; give larger images, or more of them to a group"
            )
        for name, moment in (("mean", mean), ("var", var * (values / (values - 1)))):
            running = self.get_variable("batch_stats", name)
            new = self.momentum * running + (1 - self.momentum) * moment.mean(axis=0)
            self.put_variable("batch_stats", name, new.astype(self.param_dtype))


def normalised(norm: nn.Module, x: Float[Array, "n h w c"], *, train: bool) -> Array | ops.Normalised:
    """Returns the normalised x, not computed yet if `norm` is a BatchNorm that fuses, in training."""
    if train and isinstance(norm, BatchNorm) and norm.fuses(x):
        return norm.normalise_lazily(x, train=True)
    return norm(x, train=train)


def unfused() -> AbstractContextManager[None]:
    """Returns a context in which no BatchNorm fuses, so that every layer computes its own output."""
    return nn.intercept_methods(_do_not_fuse)


@contextmanager
def all_derivatives() -> Iterator[None]:
    """Makes a context in which networks have forward mode and derivatives of any order, at the cost of speed.

    No BatchNorm fuses, convolutions are XLA's, and max pooling is made of slices and maxima. The mixture of Shake-Shake
    in training is differentiable once, in reverse, all the same. A function that `jax.jit` has traced before keeps its
    form: call `jax.jit` inside of the context.
    """
    with unfused(), plain():
        yield


def _do_not_fuse(method: Callable[..., Any], args: Any, kwargs: Any, context: InterceptorContext) -> Any:
    if isinstance(context.module, BatchNorm) and context.method_name == "fuses":
        return False
    return method(*args, **kwargs)
