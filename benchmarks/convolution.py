"""Times the convolutions of SE-ResNet-50 and SE-ResNeXt-50 on a CPU, ours beside XLA's.

    python -m benchmarks.convolution [--batch_size=16] [--rounds=5] [--only=grouped]

Both take turns. Times are medians in milliseconds. Rates count two operations for each multiply-add of the layer.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from senet_jax import ops

LAYERS = {
    "stem 7x7 s2, 3 to 64": (224, 3, 64, 7, {"stride": 2, "padding": 3}),
    **{
        f"1x1, {c} to {o} at {size}": (size, c, o, 1, {})
        for size, width in ((56, 64), (28, 128), (14, 256), (7, 512))
        for c, o in ((4 * width, width), (width, 4 * width))
    },
    "1x1 s2, 256 to 512 at 56": (56, 256, 512, 1, {"stride": 2}),
    "1x1 s2, 1024 to 2048 at 14": (14, 1024, 2048, 1, {"stride": 2}),
    **{
        f"3x3, {c} at {size}": (size, c, c, 3, {"padding": 1}) for size, c in ((56, 64), (28, 128), (14, 256), (7, 512))
    },
    **{
        f"3x3 s2, {c} at {size}": (size, c, c, 3, {"padding": 1, "stride": 2})
        for size, c in ((56, 128), (28, 256), (14, 512))
    },
    **{
        f"grouped 3x3, 32 x {c // 32} at {size}": (size, c, c, 3, {"padding": 1, "groups": 32})
        for size, c in ((56, 128), (28, 256), (14, 512), (7, 1024))
    },
    **{
        f"grouped 3x3 s2, 32 x {c // 32} at {size}": (size, c, c, 3, {"padding": 1, "groups": 32, "stride": 2})
        for size, c in ((56, 256), (28, 512), (14, 1024))
    },
    "depthwise 3x3, 64 at 56": (56, 64, 64, 3, {"padding": 1, "groups": 64}),
}
"""Size of the maps, channels, features, size of the kernel, and settings of the convolution."""
KINDS = ("forward", "input gradient", "kernel gradient")


def programs(kind: str, lowering: str, settings: dict[str, Any]) -> Any:
    """Makes a function of images, kernel and the gradient of the output."""

    def convolution(x: Any, kernel: Any) -> Any:
        return ops.convolution(x, kernel, lowering=lowering, **settings)

    if kind == "forward":
        return jax.jit(lambda x, kernel, gradient: convolution(x, kernel))
    return jax.jit(lambda x, kernel, gradient: jax.vjp(convolution, x, kernel)[1](gradient)[KINDS.index(kind) - 1])


def measure(compiled: list[Callable[..., Any]], operands: tuple[Any, ...], rounds: int) -> list[float]:
    """Returns the median seconds of each program over `rounds` rounds, in which they take turns."""
    for program in compiled:
        jax.block_until_ready(program(*operands))
    seconds: list[list[float]] = [[] for _ in compiled]
    for _ in range(rounds):
        for program, own in zip(compiled, seconds, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(program(*operands))
            own.append(time.perf_counter() - start)
    return [statistics.median(own) for own in seconds]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="only layers whose names contain this")
    arguments = parser.parse_args()
    random = np.random.default_rng(0)

    def normal(*shape: int) -> jax.Array:
        return jnp.asarray(random.standard_normal(shape), jnp.float32)

    print(
        "| layer | direction | ours ms | XLA ms | ours GF/s | XLA GF/s | times | ours compiled in s |\n"
        + "|---" * 8
        + "|"
    )
    for name, (size, c, o, kernel_size, settings) in LAYERS.items():
        if arguments.only not in name:
            continue
        x = normal(arguments.batch_size, size, size, c)
        kernel = normal(kernel_size, kernel_size, c // settings.get("groups", 1), o) / 10
        gradient = normal(*jax.eval_shape(partial(ops.convolution, **settings), x, kernel).shape)
        for kind in KINDS[:1] + KINDS[2:] if c == 3 else KINDS:
            compiled, compile_seconds = [], []
            for lowering in ("platform", "xla"):
                start = time.perf_counter()
                compiled.append(programs(kind, lowering, settings).lower(x, kernel, gradient).compile())
                compile_seconds.append(time.perf_counter() - start)
            ours, xla = measure(compiled, (x, kernel, gradient), arguments.rounds)
            work = 2 * gradient.size * kernel.size / o / 1e9
            print(
                f"| {name} | {kind} | {1e3 * ours:.1f} | {1e3 * xla:.1f} | {work / ours:.0f} | {work / xla:.0f} "
                f"| {xla / ours:.2f} | {compile_seconds[0]:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
