"""Quick compilation of programs whose compiled text and gradients are not the subject of a test.

Jax has no setting for one option of XLA but the variable XLA_FLAGS, which holds for a whole process. So its function
that makes the options, a private one, is replaced; if there is none of this name, tests compile more slowly.
"""

import functools
from typing import Any

import jax
from jax._src import compiler

_NAME = "get_compile_options"
_OPTIONS = {"xla_cpu_use_fusion_emitters": False}
"""The older generator of kernels compiles about three times as fast."""

ENVIRONMENT = {
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
    "XLA_FLAGS": " ".join(f"--{name}={value}".lower() for name, value in _OPTIONS.items()),
}
"""Makes a process compile in the same way."""


def make_quick() -> None:
    """Makes programs compile with these options while `jax_disable_most_optimizations` is set."""
    make = getattr(compiler, _NAME, None)
    if make is None:
        return

    @functools.wraps(make)
    def options(*arguments: Any, env_options_overrides: dict[str, Any] | None = None, **others: Any) -> Any:
        quick = _OPTIONS if jax.config.read("jax_disable_most_optimizations") else {}
        return make(*arguments, env_options_overrides=quick | (env_options_overrides or {}), **others)

    setattr(compiler, _NAME, options)
