"""Contestant on JAX: one of our networks, or the same network with stock layers. See worker.py."""

import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from senet_jax.bench import stock_flax
from senet_jax.bench.worker import serve
from senet_jax.config import Experiment
from senet_jax.models import create_model
from senet_jax.modules import BatchNorm
from senet_jax.modules.conv import Convolution
from senet_jax.training.memory import total
from senet_jax.training.state import init_state
from senet_jax.training.step import make_train_step


class JaxContestant:
    """`training`: forward, backward and update by SGD with momentum, on uint8 images; `inference`: logits of floats."""

    def __init__(self, settings: dict[str, Any]):
        """Compiles the step of a network with random parameters, on random images."""
        n, size = settings["batch_size"], settings["image_size"]
        images = jax.random.randint(jax.random.key(0), (n, size, size, 3), 0, 256, jnp.uint8)
        model, optimizer = make_model(settings), optax.sgd(1e-3, momentum=0.9)
        self.training = settings["mode"] == "training"
        if self.training:
            self.state = jax.jit(partial(init_state, model, optimizer, images.shape[1:], seed=0, average=False))()
            self.batch = {"image": images, "label": jnp.arange(n) % 10}
            step = jax.jit(make_train_step(model, optimizer, Experiment()), donate_argnums=0)
        else:
            self.batch = images / 255 - 0.5
            self.state = jax.jit(partial(model.init, train=False))(jax.random.key(0), self.batch)
            step = jax.jit(partial(model.apply, train=False))
        began = time.perf_counter()
        self.step = step.lower(self.state, self.batch).compile()
        seconds = time.perf_counter() - began
        cost: Any = self.step.cost_analysis()
        self.facts = {
            "platform": jax.default_backend(),
            "compile_seconds": seconds,
            "compiled_memory": total(self.step.memory_analysis()),
            "bytes_accessed": cost["bytes accessed"],
            "convolutions": "oneDNN" if "__onednn$convolution" in (self.step.as_text() or "") else "XLA",
        }

    def run(self, steps: int) -> None:
        """Runs that many steps, and waits until they are done."""
        result: Any = None
        for _ in range(steps):
            result = self.step(self.state, self.batch)
            if self.training:
                self.state = result
        jax.block_until_ready(result)

    def peak_memory(self) -> int | None:
        """Returns the peak of the accelerator's memory in bytes since the start; None on a CPU."""
        statistics = jax.devices()[0].memory_stats()
        return statistics["peak_bytes_in_use"] if statistics else None

    def release(self) -> None:
        """Does nothing: XLA keeps no memory of a CPU, and gives none of an accelerator back."""


def make_model(settings: dict[str, Any]) -> nn.Module:
    """Makes the network of the settings."""
    name, dtype = settings["network"], jnp.dtype(settings["dtype"])
    if settings["stock"]:
        return stock_flax.NETWORKS[name](dtype=dtype)
    conv, norm = partial(Convolution, lowering=settings["lowering"]), partial(BatchNorm, **settings["norm"])
    return create_model(name, dtype=dtype, conv=conv, norm=norm)


if __name__ == "__main__":
    # On a CPU, asynchronous steps would run at the same time.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    jax.devices()
    serve(JaxContestant)
