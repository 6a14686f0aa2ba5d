"""Files of named arrays: our own safetensors, and what PyTorch and Caffe have written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ml_dtypes
import numpy as np

from senet_jax.files import replaced
from senet_jax.weights import pytorch_files


def read_tensors(path: str | Path, *, average: bool = True) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a weight file by their names, and its metadata (empty where the format has none).

    What the file is, is seen from its content, not from its name: safetensors, a PyTorch state dict, or a Caffe
    model, whose blobs are called "layer/0", "layer/1" and so on. Nothing that stands in the file is run. float16
    and bfloat16 become float32; every other type stays. The arrays of a PyTorch or a Caffe file cannot be written to.
    Of a PyTorch checkpoint that has exponential moving averages these are read, unless `average` is false.

    Raises ValueError, with the file and what was found, for a file that is empty, damaged, of another kind, or has
    anything but tensors; ModuleNotFoundError where the package for the format is not installed.
    """
    path = Path(path)
    try:
        tensors, metadata = _read(path, average)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as a weight file: {error}") from error
    half = (np.float16, ml_dtypes.bfloat16)
    return {name: a.astype(np.float32) if a.dtype in half else a for name, a in tensors.items()}, metadata


def write_tensors(path: str | Path, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Makes the file a safetensors file of these arrays: at every moment it holds its old content or all of the new.

    Raises ModuleNotFoundError where safetensors is not installed.
    """
    with _installed("safetensors"):
        from safetensors.numpy import save

        # safetensors writes the memory of an array as it lies there, whatever its strides.
        content = save({name: np.asarray(array, order="C") for name, array in tensors.items()}, metadata)
    with replaced(Path(path)) as temporary:
        temporary.write_bytes(content)


def _read(path: Path, average: bool) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    with path.open("rb") as file:
        start = file.read(40)
    if not start:
        raise ValueError("it is empty")
    if start.startswith(b"PK\x03\x04"):
        return pytorch_files.read_zip(path, average=average), {}
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 100_000_000:  # No header may be longer.
        return _read_safetensors(path)
    if start.startswith(b"\x80"):
        return pytorch_files.read_legacy(path, average=average), {}
    with _installed("protobuf"):
        from senet_jax.weights import caffe_files

        tensors = caffe_files.read(path)
    if not tensors:
        raise ValueError(f"it is no safetensors, PyTorch or Caffe file, or a damaged one; it begins with {start!r}")
    return tensors, {}


def _read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    with _installed("safetensors"):
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="np") as file:
                return file.get_tensors(), file.metadata() or {}
        except (SafetensorError, AttributeError, TypeError) as error:  # The last two: a type that NumPy does not have.
            raise ValueError(f"safetensors says: {error}") from error


@contextmanager
def _installed(package: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"this needs {package}, which is not installed: pip install {package}") from error
