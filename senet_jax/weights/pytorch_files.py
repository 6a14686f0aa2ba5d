"""PyTorch's weight files, read without PyTorch and without running anything that stands in them.

Such a file is a pickle, with the storages (flat arrays) beside it in a zip archive, or behind it before PyTorch 1.6. A
pickle is a program for a machine with a stack, and Python's own machine calls what the program names. The one below
follows the few instructions that a state dict needs, on plain values, where a function or class remains a name: the
names of tensors and their containers have a meaning here, those that training checkpoints often have beside them mean
None, and every other one refuses the file, wherever in it it stands.
"""

import io
import mmap
import operator
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


def read_zip(path: Path, *, average: bool = True) -> dict[str, np.ndarray]:
    """The state dict in a file of PyTorch 1.6 or later; otherwise as `read_legacy`."""
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


def read_legacy(path: Path, *, average: bool = True) -> dict[str, np.ndarray]:
    """The state dict in a file of PyTorch before 1.6, as arrays that cannot be written to.

    A state dict within a checkpoint is looked for as timm looks for it: under "state_dict_ema" and "model_ema", the
    exponential moving averages, if `average` is true, which a warning says, then under "state_dict" and "model".
    "module." and "_orig_mod." before the names, which DataParallel and torch.compile put there, are taken away.

    Raises ValueError for a file that is damaged or holds anything that a state dict does not.
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
    """Makes a ValueError of whatever the reader of a damaged file runs into."""
    damage = ArithmeticError, AttributeError, BadZipFile, EOFError, LookupError, OSError, RuntimeError, TypeError
    try:
        yield
    except damage as error:
        raise ValueError(f"it is damaged ({type(error).__name__}: {error})") from error


def _unpickle(file: Any, storages: dict[str, _Storage]) -> Any:
    """The value of the next pickle in a file; the storages that it names are noted by their keys."""
    stack: list[Any] = []
    below: list[list[Any]] = []
    memo: dict[Any, Any] = {}
    for instruction, argument, _ in pickletools.genops(file):
        match instruction.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                break
            case "MARK":
                below.append(stack)
                stack = []
            case "BINPUT" | "LONG_BINPUT" | "MEMOIZE":
                memo[len(memo) if argument is None else argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(_known(str(argument).replace(" ", ".")))
            case "BINPERSID":
                storage = _storage(stack.pop())
                storages[storage.key] = storage
                stack.append(storage)
            case name if name in _LITERALS:
                stack.append(argument)
            case name if name in _OPERATIONS:
                if name in _GATHERING:
                    items, stack = stack, below.pop()
                    stack.append(items)
                operands, operation = _OPERATIONS[name]
                place = slice(len(stack) - operands, None)
                stack[place] = [operation(*stack[place])]
            case name:
                raise ValueError(f"it has the pickle instruction {name}, which no state dict needs")
    return stack.pop()


def _known(name: str) -> str:
    if name not in _DTYPES and name not in _MEANINGS:
        raise ValueError(
            f"it calls {name}; a weight file holds tensors only, as torch.save(model.state_dict(), ...) writes them"
        )
    return name


def _storage(identifier: Any) -> _Storage:
    match identifier:
        case ["storage", str(name), str(key), _, int(elements), *views] if views in ([], [None]):
            return _Storage(key, _DTYPES[name], elements)
    raise ValueError("it has a storage that is described in an unknown way")


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> _Tensor:
    numbers = (offset, *size, *stride)
    whole = all(isinstance(number, int) and number >= 0 for number in numbers)
    if not (whole and isinstance(storage, _Storage) and len(size) == len(stride)):
        raise ValueError("it has a tensor that is described in an unknown way")
    return _Tensor(storage, offset, size, stride)


def _none(*_: Any) -> None:
    return None


def _call(name: str, arguments: Any) -> Any:
    return _MEANINGS[name](*arguments)


_MEANINGS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": dict,
    "torch.Size": tuple,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    # Beside the state dict:
    "_codecs.encode": _none,
    "argparse.Namespace": _none,
    "numpy._core.multiarray.scalar": _none,
    "numpy.core.multiarray.scalar": _none,
    "numpy.dtype": _none,
    "torch.device": _none,
}
_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINBYTES", "SHORT_BINBYTES"),
    *("BINSTRING", "SHORT_BINSTRING", "BINUNICODE", "BINUNICODE8", "SHORT_BINUNICODE"),
}
_OPERATIONS: dict[str, tuple[int, Callable[..., Any]]] = {  # The number of operands, and what is made of them.
    "NONE": (0, _none),
    "NEWTRUE": (0, lambda: True),
    "NEWFALSE": (0, lambda: False),
    "EMPTY_DICT": (0, dict),
    "EMPTY_LIST": (0, list),
    "EMPTY_TUPLE": (0, tuple),
    "TUPLE": (1, tuple),
    "TUPLE1": (1, lambda *items: items),
    "TUPLE2": (2, lambda *items: items),
    "TUPLE3": (3, lambda *items: items),
    "APPEND": (2, lambda items, item: operator.iadd(items, [item])),
    "APPENDS": (2, operator.iadd),
    "SETITEM": (3, lambda items, key, value: operator.ior(items, {key: value})),
    "SETITEMS": (2, lambda items, more: operator.ior(items, zip(more[::2], more[1::2], strict=True))),
    "STACK_GLOBAL": (2, lambda *names: _known(".".join(names))),
    "REDUCE": (2, _call),
    "NEWOBJ": (2, _call),
    "BUILD": (2, lambda value, attributes: value),
}
_GATHERING = {"APPENDS", "SETITEMS", "TUPLE"}  # Their last operand is all that stands behind the last mark.


def _state_dict(value: Any, average: bool) -> dict[str, _Tensor]:
    """The state dict that a pickle's value is or wraps, without the prefixes of DataParallel and torch.compile."""
    if not isinstance(value, dict):
        raise ValueError("what it holds is no dictionary of tensors")
    averages = ("state_dict_ema", "model_ema")
    order = (*averages, "state_dict", "model") if average else ("state_dict", "model", *averages)
    wrapped = [name for name in order if isinstance(value.get(name), dict)]
    tensors = value[wrapped[0]] if wrapped else value
    if len(wrapped) > 1 and wrapped[0] in averages:
        warnings.warn(
            f"the exponential moving average {wrapped[0]!r} is taken, as timm does; average=False takes "
            f"{wrapped[-1]!r}",
            stacklevel=2,
        )
    if not tensors:
        raise ValueError("it holds no tensors")
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, _Tensor):
            raise ValueError(f"it is no state dict, nor a checkpoint that has one: {str(name)!r} in it is no tensor")
    while prefix := next((p for p in ("module.", "_orig_mod.") if all(name.startswith(p) for name in tensors)), ""):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _arrays(tensors: dict[str, _Tensor], content: Callable[[_Storage], bytes]) -> dict[str, np.ndarray]:
    flat = {}
    for storage in {tensor.storage for tensor in tensors.values()}:
        found = content(storage)
        if len(found) != storage.bytes:
            raise ValueError(f"storage {storage.key} has {len(found)} bytes where {storage.bytes} are wanted")
        flat[storage] = np.frombuffer(found, storage.dtype)
    return {name: _view(name, flat[tensor.storage], tensor) for name, tensor in tensors.items()}


def _view(name: str, flat: np.ndarray, tensor: _Tensor) -> np.ndarray:
    _, offset, size, stride = tensor
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if 0 not in size and last >= flat.size:
        raise ValueError(f"{name} wants element {last} of a storage of {flat.size} elements")
    return np.lib.stride_tricks.as_strided(flat[offset:], size, [step * flat.itemsize for step in stride])
