"""A cache of compiled programs on disk."""

import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from senet_jax.ops import onednn

_LIMIT = 2 * 2**30
"""Largest size in bytes; the least recently used programs are removed first."""


def keep_programs(directory: Path | None = None) -> Path | None:
    """Makes JAX keep compiled programs in the directory, by default senet_jax in the user's folder of caches.

    Returns the directory. Changes nothing and returns None if JAX's own settings concern its cache, or on a CPU if
    oneDNN computes convolutions, because such programs cannot be kept.
    """
    config: Any = jax.config
    said = config.jax_compilation_cache_dir or not config.jax_enable_compilation_cache
    if said or (jax.default_backend() == "cpu" and onednn.serves(jnp.float32)):
        return None
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    directory = directory or caches / "senet_jax"
    config.update("jax_compilation_cache_dir", str(directory))
    config.update("jax_compilation_cache_max_size", _LIMIT)
    config.update("jax_remove_custom_partitioning_ptr_from_cache_key", True)  # An address, new in each process.
    return directory
