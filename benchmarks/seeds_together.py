"""Times training runs that differ in their seed, one after another and together in one program (`jax.vmap`).

    python -m benchmarks.seeds_together [--seeds=3] [--size=32] [--channels=3] [--batch_size=128] [--lowering=platform]

Prints milliseconds of a step of se_resnet20_cifar for all seeds, in turns: medians over the steps of each round.
"""

import argparse
import statistics
import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from senet_jax.config import Experiment
from senet_jax.models import create_model
from senet_jax.modules.conv import Convolution
from senet_jax.training.state import init_state
from senet_jax.training.step import make_train_step


def seconds_per_step(program: Any, state: Any, batch: Any, steps: int) -> float:
    """Returns the median seconds of a step, after one to warm up."""
    taken = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        jax.block_until_ready(program(state, batch))
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


def main() -> None:
    """Prints a line for each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = {"seeds": 3, "size": 32, "channels": 3, "batch_size": 128, "rounds": 3, "steps": 8}
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--lowering", choices=("platform", "xla"), default="platform")
    given = parser.parse_args()
    shape = given.size, given.size, given.channels

    model = create_model("se_resnet20_cifar", 10, conv=partial(Convolution, lowering=given.lowering))
    optimizer = optax.sgd(0.1, momentum=0.9)
    step = make_train_step(model, optimizer, Experiment())
    images = jax.random.randint(jax.random.key(0), (given.batch_size, *shape), 0, 256, jnp.uint8)
    batch = {"image": images, "label": jnp.arange(given.batch_size) % 10}

    def init(seed: Any) -> Any:
        return init_state(model, optimizer, shape, seed=seed, average=False)

    state, states = jax.jit(init)(0), jax.jit(jax.vmap(init))(jnp.arange(given.seeds))
    batches = jax.tree.map(lambda x: jnp.stack([x] * given.seeds), batch)
    separate = jax.jit(step).lower(state, batch).compile()
    together = jax.jit(jax.vmap(step)).lower(states, batches).compile()
    for _ in range(given.rounds):
        one = 1e3 * given.seeds * seconds_per_step(separate, state, batch, given.steps)
        all_at_once = 1e3 * seconds_per_step(together, states, batches, given.steps)
        print(
            f"separate {one:.0f} ms, together {all_at_once:.0f} ms: {one / all_at_once:.2f} times as fast", flush=True
        )


if __name__ == "__main__":
    # On a CPU, asynchronous steps would run at the same time.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    main()
