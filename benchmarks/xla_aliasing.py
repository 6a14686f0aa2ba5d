"""A wrong result of XLA's CPU compiler: a fusion overwrites an operand that it still reads under another name.

    python -m benchmarks.xla_aliasing

Prints the largest relative error of one program, as it is and with some of its values passed through a call that is
not inlined. docs/xla_aliasing.md explains it. On jax alone; exit status 1 if a result is wrong.
"""

import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.xla_metadata import set_xla_metadata


def through_call(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    """Returns its arguments from a call that XLA does not inline: the results share the arguments' buffers."""
    with set_xla_metadata(inlineable="false"):
        return jax.jit(lambda *given: given)(*arrays)


def program(rename: Callable[..., tuple[jax.Array, ...]], a: jax.Array, b: jax.Array) -> jax.Array:
    """The fusion in the middle reads y elementwise as `renamed`, and one row of y under its own name."""
    y, scale = a @ b, jnp.sin(b[0])
    renamed, *rest = rename(y, scale)
    return ((renamed * (rest or [scale])[0] - y[3:4]) @ b) @ b


PROGRAMS = {
    "no call": lambda *arrays: arrays,
    "a call with one array": lambda y, scale: through_call(y),
    "a call with two arrays": through_call,
}


def main() -> None:
    """Prints a line for each program."""
    jax.config.update("jax_platforms", "cpu")
    a, b = np.random.default_rng(0).normal(size=(2, 64, 64)).astype(np.float32)
    exact_y = a.astype(np.float64) @ b
    exact = (exact_y * np.sin(b[0]) - exact_y[3]) @ b @ b
    wrong = False
    for name, rename in PROGRAMS.items():
        given = jax.jit(lambda a, b, rename=rename: program(rename, a, b))(a, b)
        error = float(np.abs(given - exact).max() / np.abs(exact).max())
        wrong |= error > 1e-3
        print(f"jax {jax.__version__}, {name}: error {error:.0e}")
    sys.exit(wrong)


if __name__ == "__main__":
    main()
