"""Files of named arrays: our own safetensors, and files of PyTorch and Caffe."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from senet_jax.files import replaced
from senet_jax.weights import pytorch_files

_DIGEST = "senet_jax_sha256"
"""Name of the digest in the metadata of our own files."""
_WRAPPERS = ("module.", "_orig_mod.")
"""Prefixes that PyTorch's DataParallel, AveragedModel and torch.compile put before all names."""


def read_tensors(path: str | Path, *, average: bool = True) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Returns the arrays of a weight file by their names, and its metadata (empty if the format has none).

    The content decides the format, not the name: safetensors, a PyTorch state dict, or a Caffe model, whose blobs are
    named "layer/0", "layer/1" and so on. No code in the file is run. float16 and bfloat16 become float32. The arrays of
    PyTorch and Caffe files are read-only. If a PyTorch checkpoint has exponential moving averages, they are read,
    unless `average` is false. Prefixes of PyTorch's wrappers are removed from the names.

    Raises ValueError if the file is empty, damaged, of another format, or holds other objects than tensors;
    ModuleNotFoundError if the package for the format is not installed.
    """
    path = Path(path)
    try:
        tensors, metadata = _read(path, average)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as a weight file: {error}") from error
    tensors.pop("n_averaged", None)  # AveragedModel's counter.
    while prefix := next((p for p in _WRAPPERS if tensors and all(name.startswith(p) for name in tensors)), ""):
        tensors = {name.removeprefix(prefix): array for name, array in tensors.items()}
    half = (np.float16, ml_dtypes.bfloat16)
    return {name: a.astype(np.float32) if a.dtype in half else a for name, a in tensors.items()}, metadata


def write_tensors(path: str | Path, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Writes a safetensors file of these arrays; at every moment it holds its old content or all of the new.

    `read_tensors` compares arrays and metadata with a digest that it keeps in the metadata.

    Raises ModuleNotFoundError if safetensors is not installed.
    """
    with installed("safetensors"):
        from safetensors.numpy import save

        # safetensors writes the memory of an array and ignores its strides.
        arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
        content = save(arrays, metadata | {_DIGEST: _digest(arrays, metadata)})
    with replaced(Path(path)) as temporary:
        temporary.write_bytes(content)


def _read(path: Path, average: bool) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    with path.open("rb") as file:
        start = file.read(40)
    if not start:
        raise ValueError("it is empty")
    if start.startswith(b"PK\x03\x04"):
        return pytorch_files.read_zip(path, average=average), {}
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 100_000_000:  # The longest header allowed.
        return _read_safetensors(path)
    if start.startswith(b"\x80"):
        return pytorch_files.read_legacy(path, average=average), {}
    with installed("protobuf"):
        from senet_jax.weights import caffe_files

        tensors = caffe_files.read(path)
    if not tensors:
        raise ValueError(f"it is no safetensors, PyTorch or Caffe file, or it is damaged; it begins with {start!r}")
    return tensors, {}


def _read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    with installed("safetensors"):
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="np") as file:
                tensors, metadata = file.get_tensors(), file.metadata() or {}
        except (SafetensorError, AttributeError, TypeError) as error:  # The last two: a dtype unknown to NumPy.
            raise ValueError(f"safetensors says: {error}") from error
    said = metadata.pop(_DIGEST, None)
    if said is not None and said != _digest(tensors, metadata):
        raise ValueError("its arrays or its description differ from those that were written; it is damaged")
    return tensors, metadata


def _digest(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> str:
    described = [[name, str(array.dtype), array.shape] for name, array in sorted(tensors.items())]
    sha256 = hashlib.sha256(json.dumps([sorted(metadata.items()), described]).encode())
    for _, array in sorted(tensors.items()):
        content: Any = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        sha256.update(content)
    return sha256.hexdigest()


@contextmanager
def installed(package: str) -> Iterator[None]:
    """Names the package to install if the import in the body does not find it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"this needs {package}, which is not installed: pip install {package}") from error
