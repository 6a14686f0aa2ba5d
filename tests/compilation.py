"""Quick compilation of programs whose compiled text and gradients are not the subject of a test.

Jax has no setting for one option of XLA but the variable XLA_FLAGS, which holds for a whole process. So its function
that makes the options, a private one, is replaced. If there is none of this name, or if XLA does not know the option,
as that of jax 0.12, tests compile more slowly.
"""

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
from jax._src import compiler

_NAME = "get_compile_options"
_OPTIONS = {"xla_cpu_use_fusion_emitters": False}
"""Without optimisations, the older generator of kernels compiles about three times as fast.

It is wrong for some programs: with jax 0.10.2 the gradient in `jax.jvp` of a gradient of a network is off by 40 %.
"""


@contextmanager
def quickly() -> Iterator[None]:
    """Compiles with few optimisations inside a test marked `optimised`, for references and for its preparation."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


@functools.cache
def quick_options() -> dict[str, Any]:
    """Returns the options that XLA knows."""
    try:
        jax.jit(lambda x: x, compiler_options=_OPTIONS).lower(1.0).compile()
    except jax.errors.JaxRuntimeError:
        return {}
    return _OPTIONS


def environment() -> dict[str, str]:
    """Returns the variables with which a process compiles in the same way."""
    flags = [f"--{name}={value}".lower() for name, value in quick_options().items()]
    return {
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
        "XLA_FLAGS": " ".join([*os.environ.get("XLA_FLAGS", "").split(), *flags]),
    }


def make_quick() -> None:
    """Makes programs compile with these options while `jax_disable_most_optimizations` is set."""
    make = getattr(compiler, _NAME, None)
    quick = quick_options()
    if make is None or not quick:
        return

    @functools.wraps(make)
    def options(*arguments: Any, env_options_overrides: dict[str, Any] | None = None, **others: Any) -> Any:
        if jax.config.read("jax_disable_most_optimizations"):
            env_options_overrides = quick | (env_options_overrides or {})
        return make(*arguments, env_options_overrides=env_options_overrides, **others)

    setattr(compiler, _NAME, options)
