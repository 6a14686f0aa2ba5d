"""The manifest of a checkpoint: type, shape and digest of its arrays, its configuration, and a digest of all that.

Arrays have XXH3's digests of 128 bits, a twelfth of the time of SHA-256, which older manifests have.
"""

import errno
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from senet_jax.texts import some
from senet_jax.weights.files import installed
from senet_jax.workdir import RunError

_MAY_PASS = {
    errno.EACCES, errno.EAGAIN, errno.EBUSY, errno.EHOSTDOWN, errno.EINTR, errno.EMFILE, errno.ENETUNREACH,
    errno.ENFILE, errno.ENOMEM, errno.ENOTCONN, errno.EPERM, errno.ESTALE, errno.ETIMEDOUT,
}  # fmt: skip
"""Numbers of the errors of a machine, its limits and its networks, that a later try may not have."""


class DamagedError(Exception):
    """A checkpoint differs from the saved state."""


class UnusableError(RunError, ValueError):
    """A run cannot go on here, because of its checkpoints or of one of its processes; all processes raise it."""


def make(step: int, state: Any, config: dict[str, Any]) -> dict[str, Any]:
    """Returns the manifest of a state, a pytree of arrays, after `step` steps of a configuration."""
    return sealed({"step": step, "config": config, "arrays": digests(state)})


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """Returns a manifest's content with its own digest."""
    return {"content": content, "sha256": _digest_of_json(content)}


def read(directory: Path) -> dict[str, Any]:
    """Returns the manifest of a checkpoint, the directory of one step.

    Raises DamagedError if it is damaged, or if the directory's name is the number of another step.
    """
    content = read_file(directory / "manifest" / "metadata")
    if directory.name.isdecimal() and content.get("step") != int(directory.name):
        raise DamagedError(f"it is that of step {content.get('step')}")
    return content


def read_file(path: Path) -> dict[str, Any]:
    """Returns the content of the manifest in a file. Raises DamagedError if it is damaged."""
    try:
        manifest = json.loads(path.read_bytes())
        content = manifest["content"]
        whole = manifest["sha256"] == _digest_of_json(content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{path} cannot be read: {first_line(error)}") from error
    if not whole:
        raise DamagedError(f"{path} differs from the saved file")
    return content


def _digest_of_json(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def leaves(tree: Any) -> Iterator[tuple[str, Any]]:
    """Yields the arrays with their names, such as "variables/params/head/bias"."""
    for path, leaf in jax.tree.leaves_with_path(tree):
        yield jax.tree_util.keystr(path, simple=True, separator="/"), leaf


def described(array: Any) -> list[Any]:
    """Returns dtype and shape."""
    return [str(array.dtype), list(array.shape)]


def digests(tree: Any, algorithm: Callable[..., Any] | None = None) -> dict[str, list[Any]]:
    """Returns dtype, shape and digest of every array by its name; the algorithm is XXH3 of 128 bits unless given."""
    with installed("xxhash"):
        import xxhash

    def digest(array: np.ndarray) -> str:
        content: Any = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        return (algorithm or xxhash.xxh3_128)(content).hexdigest()

    arrays = {name: np.asarray(leaf) for name, leaf in leaves(jax.device_get(tree))}
    return {name: [*described(array), digest(array)] for name, array in arrays.items()}


def compare(saved: dict[str, list[Any]], tree: Any) -> None:
    """Raises DamagedError with the names of the arrays that differ from those of a manifest."""
    is_sha256 = any(len(digest) == 64 for *_, digest in saved.values())
    found = digests(tree, hashlib.sha256) if is_sha256 else digests(tree)
    wrong = sorted(name for name in saved.keys() | found.keys() if saved.get(name) != found.get(name))
    if wrong:
        raise DamagedError(f"{some(wrong, 3)} differ from the saved arrays")


def may_pass(error: BaseException | None) -> bool:
    """Tells whether an error of reading, or its cause, is of the machine, such as too many open files: no damage."""
    if error is None:
        return False
    known = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _MAY_PASS)
    codes = "ABORTED|DEADLINE_EXCEEDED|PERMISSION_DENIED|RESOURCE_EXHAUSTED|UNAVAILABLE"  # TensorStore's.
    return known or bool(re.search(rf"\b({codes}): ", str(error))) or may_pass(error.__cause__)


def said(array: list[Any] | None) -> str:
    """Returns dtype and shape in words."""
    return "missing" if array is None else f"{array[0]} {tuple(array[1])}"


def first_line(error: Exception, *, end: bool = False) -> str:
    """Returns the type of an error and the beginning, or the end, of its first line; the first cause is at the end.

    TensorStore's annotations are left out: they follow the cause, and a specification of an array is long.
    """
    line = re.sub(r" \[\w+='.*?'\]| See full TensorStore details.*", "", str(error).partition("\n")[0])
    return f"{type(error).__name__}: {line[-300:] if end else line[:300]}"
