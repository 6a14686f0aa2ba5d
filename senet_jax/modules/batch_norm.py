"""Batch normalisation whose statistics do not depend on the number of devices."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from senet_jax import ops
from senet_jax.typing import Array, Float


class BatchNorm(nn.Module):
    """Normalises each channel by the statistics of its group of examples, or, when not training, by running ones.

    Parameters `scale` and `bias` (c,), in `batch_stats` `mean` and `var` (c,), as in `flax.linen.BatchNorm`. The
    running variance is the unbiased one, as in Caffe, with which the authors trained, and in PyTorch.
    """

    group: int | None = None
    """Successive examples of the batch that share statistics; None: the whole batch, over all devices."""
    momentum: float = 0.9
    """Share of the running statistics that one step keeps (0.9 here is 0.1 in PyTorch)."""
    epsilon: float = 1e-5
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n h w c"]:
        """The output has the type of x; the statistics are taken in float32 at least.

        Raises ValueError where the group does not divide the batch.
        """
        features = (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, features, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, features, self.param_dtype)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, features, self.param_dtype)
        running_var = self.variable("batch_stats", "var", jnp.ones, features, self.param_dtype)
        if not train:
            return ops.normalise(x, running_mean.value[None], running_var.value[None], scale, bias, self.epsilon)
        mean, var = ops.group_moments(x, self.group)
        if not self.is_initializing():
            values = x.size // var.size
            unbiased = var * (values / max(1, values - 1))
            for running, moment in ((running_mean, mean), (running_var, unbiased)):
                new = self.momentum * running.value + (1 - self.momentum) * moment.mean(axis=0)
                running.value = new.astype(self.param_dtype)
        return ops.normalise(x, mean, var, scale, bias, self.epsilon)
