"""PyTorch's weight files, read without PyTorch and without running anything that stands in them.

Such a file is a pickle, with the storages (flat arrays) beside it in a zip archive, or behind it before PyTorch 1.6. A
pickle is a program that calls the functions it names. Here it has the instructions of a state dict alone, and its names
mean objects of this file: those of tensors and their containers have a meaning, those that training checkpoints often
have beside them are ignored, and every other name refuses the file, wherever in it the name stands.
"""

import io
import mmap
import pickle
import pickletools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import ml_dtypes
import numpy as np

_DTYPES = {
    "torch.BFloat16Storage": ml_dtypes.bfloat16,
    "torch.BoolStorage": np.bool_,
    "torch.ByteStorage": np.uint8,
    "torch.CharStorage": np.int8,
    "torch.DoubleStorage": np.float64,
    "torch.FloatStorage": np.float32,
    "torch.HalfStorage": np.float16,
    "torch.IntStorage": np.int32,
    "torch.LongStorage": np.int64,
    "torch.ShortStorage": np.int16,
}


class _Storage(NamedTuple):
    key: str
    dtype: Any
    elements: int

    @property
    def bytes(self) -> int:
        return self.elements * np.dtype(self.dtype).itemsize


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def read_zip(path: Path, *, average: bool) -> dict[str, np.ndarray]:
    """Reads the state dict in a file of PyTorch 1.6 or later; otherwise as `read_legacy`."""
    with _refuses_damage(), ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise ValueError("it is a zip archive, but not of PyTorch, which has one data.pkl in it")
        folder = pickles[0].removesuffix("data.pkl")

        def content(name: str) -> bytes:
            member = archive.getinfo(folder + name)
            if member.compress_type != ZIP_STORED:  # PyTorch does not compress; a zip bomb does.
                raise ValueError(f"{member.filename} in the archive is compressed")
            return archive.read(member)

        if f"{folder}byteorder" in archive.namelist() and content("byteorder") != b"little":
            raise ValueError("it was written on a big-endian machine")
        tensors = _state_dict(_unpickle(io.BytesIO(content("data.pkl")), {}), average)
        return _arrays(tensors, lambda storage: content(f"data/{storage.key}"))


def read_legacy(path: Path, *, average: bool) -> dict[str, np.ndarray]:
    """Reads the state dict in a file of PyTorch before 1.6, as read-only arrays.

    In a checkpoint it is sought as timm does: if `average` is true, under "state_dict_ema" and "model_ema", the
    exponential moving averages, with a warning, then under "state_dict", "model" and
    "model_state_dict".

    Raises ValueError if the file is damaged or holds other objects than a state dict.
    """
    with _refuses_damage(), path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        storages: dict[str, _Storage] = {}
        if _unpickle(content, storages) != 0x1950A86A20F9469CFC6C:
            raise ValueError("it is a pickle, but not of PyTorch")
        if (version := _unpickle(content, storages)) != 1001:
            raise ValueError(f"it has version {version} of PyTorch's old format; 1001 is the only one known")
        if not _unpickle(content, storages)["little_endian"]:
            raise ValueError("it was written on a big-endian machine")
        tensors = _state_dict(_unpickle(content, storages), average)
        places = {}
        for key in _unpickle(content, storages):
            elements = int.from_bytes(content.read(8), "little")
            start, end = content.tell(), content.tell() + storages[key].bytes
            if elements != storages[key].elements or end > len(content):
                raise ValueError(f"storage {key}, of {storages[key].elements} elements, is damaged or cut off")
            content.seek(end)
            places[key] = slice(start, end)
        return _arrays(tensors, lambda storage: content[places[storage.key]])


@contextmanager
def _refuses_damage() -> Iterator[None]:
    """Turns the errors of reading a damaged file into ValueError."""
    damage = ArithmeticError, AttributeError, BadZipFile, EOFError, LookupError, OSError, RuntimeError, TypeError
    damage = *damage, MemoryError, pickle.UnpicklingError
    try:
        yield
    except damage as error:
        raise ValueError(f"it is damaged ({type(error).__name__}: {error})") from error


def _unpickle(file: Any, storages: dict[str, _Storage]) -> Any:
    """Returns the value of the next pickle in a file, and notes the storages that it names by their keys."""
    start = file.tell()
    for number, (instruction, argument, _) in enumerate(pickletools.genops(file)):
        if instruction.name not in _INSTRUCTIONS:
            raise ValueError(f"it has the pickle instruction {instruction.name}, which no state dict needs")
        if instruction.name == "LONG_BINPUT" and (argument or 0) > number:  # Python would make room for all below.
            raise ValueError(f"it is damaged: instruction {number} of its pickle has the number {argument}")
    end = file.tell()
    file.seek(start)
    return _Unpickler(file.read(end - start), storages).load()


class _Unpickler(pickle.Unpickler):
    """Knows the names of `_MEANINGS` and of storages, and nothing else."""

    def __init__(self, content: bytes, storages: dict[str, _Storage]):
        super().__init__(io.BytesIO(content), encoding="latin1")
        self.storages = storages

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        name = f"{module_name}.{global_name}"
        if name in _DTYPES:
            return name
        if name not in _MEANINGS:
            raise ValueError(
                f"it calls {name}; a weight file holds tensors only, as torch.save(model.state_dict(), ...) writes them"
            )
        return _MEANINGS[name]

    def persistent_load(self, pid: Any, /) -> _Storage:
        match pid:
            case ["storage", str(name), str(key), _, int(elements), *views] if views in ([], [None]):
                self.storages[key] = _Storage(key, _DTYPES[name], elements)
                return self.storages[key]
        raise ValueError("it has a storage that is described in an unknown way")


class _Ignored:
    """An object beside the state dict, of which nothing is kept."""

    __slots__ = ()

    def __new__(cls, *_: Any) -> "_Ignored":
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Takes the attributes that a pickle gives; without this method, Python would set them."""


class _Dict(dict[Any, Any]):
    """An ordered dictionary, whose attributes in a pickle are ignored."""

    __slots__ = ()
    __setstate__ = _Ignored.__setstate__


class _Function:
    """A function that a pickle can call and cannot change: those of Python take attributes."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]):
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise ValueError("it gives attributes to a function")


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> _Tensor:
    numbers = (offset, *size, *stride)
    whole = all(isinstance(number, int) and number >= 0 for number in numbers)
    if not (whole and isinstance(storage, _Storage) and len(size) == len(stride)):
        raise ValueError("it has a tensor that is described in an unknown way")
    return _Tensor(storage, offset, size, stride)


_MEANINGS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _Dict,
    "torch.Size": _Function(tuple),
    "torch._utils._rebuild_parameter": _Function(lambda tensor, *_: tensor),
    "torch._utils._rebuild_tensor": _Function(_tensor),
    "torch._utils._rebuild_tensor_v2": _Function(_tensor),
    # Beside the state dict:
    "_codecs.encode": _Ignored,
    "__builtin__.set": _Ignored,
    "argparse.Namespace": _Ignored,
    "builtins.set": _Ignored,
    "collections.Counter": _Ignored,
    "numpy._core.multiarray.scalar": _Ignored,
    "numpy.core.multiarray.scalar": _Ignored,
    "numpy.dtype": _Ignored,
    "pathlib.PosixPath": _Ignored,
    "pathlib.PurePosixPath": _Ignored,
    "pathlib.WindowsPath": _Ignored,
    "pathlib._local.PosixPath": _Ignored,
    "torch.device": _Ignored,
}
_INSTRUCTIONS = {
    *("PROTO", "FRAME", "STOP", "MARK", "BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET"),
    *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("BINBYTES", "SHORT_BINBYTES", "BINSTRING", "SHORT_BINSTRING", "BINUNICODE", "BINUNICODE8", "SHORT_BINUNICODE"),
    *("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("APPEND", "APPENDS", "SETITEM", "SETITEMS"),
    *("GLOBAL", "STACK_GLOBAL", "BINPERSID", "REDUCE", "NEWOBJ", "BUILD"),
}
"""Instructions of a state dict. Others look past `find_class`: EXT1 takes objects that another reader has looked up."""


def _state_dict(value: Any, average: bool) -> dict[str, _Tensor]:
    """Returns the state dict that a pickle's value is or wraps."""
    if not isinstance(value, dict):
        raise ValueError("it holds no dictionary of tensors")
    averages = ("state_dict_ema", "model_ema")
    plain = ("state_dict", "model", "model_state_dict")
    order = (*averages, *plain) if average else (*plain, *averages)
    wrapped = [name for name in order if isinstance(value.get(name), dict)]
    tensors = value[wrapped[0]] if wrapped else value
    if len(wrapped) > 1 and wrapped[0] in averages:
        warnings.warn(
            f"the exponential moving average {wrapped[0]!r} is taken, as timm does; senet_jax.load with "
            f"average=False takes {wrapped[-1]!r}",
            stacklevel=2,
        )
    if not tensors:
        raise ValueError("it holds no tensors")
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, _Tensor):
            raise ValueError(f"it is neither a state dict nor a checkpoint with one: {str(name)!r} in it is no tensor")
    return tensors


def _arrays(tensors: dict[str, _Tensor], content: Callable[[_Storage], bytes]) -> dict[str, np.ndarray]:
    flat = {}
    for storage in {tensor.storage for tensor in tensors.values()}:
        found = content(storage)
        if len(found) != storage.bytes:
            raise ValueError(f"storage {storage.key} has {len(found)} bytes instead of {storage.bytes}")
        flat[storage] = np.frombuffer(found, storage.dtype)
    return {name: _view(name, flat[tensor.storage], tensor) for name, tensor in tensors.items()}


def _view(name: str, flat: np.ndarray, tensor: _Tensor) -> np.ndarray:
    _, offset, size, stride = tensor
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if 0 not in size and last >= flat.size:
        raise ValueError(f"{name} wants element {last} of a storage of {flat.size} elements")
    return np.lib.stride_tricks.as_strided(flat[offset:], size, [step * flat.itemsize for step in stride])
