"""Writes weight files as PyTorch and Caffe do, without them."""

import pickle
import struct

import numpy as np


def legacy(pickled, protocol=2, storages=b""):
    """Returns a file of PyTorch before 1.6 of a value, or its pickle, and of storages."""
    parts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, pickled]
    storages = storages or pickle.dumps([], protocol)
    return b"".join(part if isinstance(part, bytes) else pickle.dumps(part, protocol) for part in parts) + storages


def state_dict(tensors):
    """A file of PyTorch before 1.6 of float32 arrays by their names, each in a storage of its own."""
    layouts, content = {}, []
    for name, values in tensors.items():
        array = np.array(values, "<f4", order="C")
        layouts[name] = (array.size, 0, array.shape, [stride // 4 for stride in array.strides])
        content.append(struct.pack("<q", array.size) + array.tobytes())
    keys = pickle.dumps([str(number) for number in range(len(tensors))], 2)
    return legacy(pickled_tensors(layouts), storages=b"".join([keys, *content]))


def pickled_tensors(layouts):
    """The pickle of a state dict: elements of the storage, offset, size and stride of each tensor by its name."""
    items = (text(name) + _tensor(str(number), *layout) for number, (name, layout) in enumerate(layouts.items()))
    return b"\x80\x02}" + b"".join(item + b"s" for item in items) + b"."


def _tensor(key, elements, offset, size, stride):
    storage = b"((" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu") + _integer(elements)
    view = b"tQ" + _integer(offset) + _integers(size) + _integers(stride) + b"t"
    return b"ctorch._utils\n_rebuild_tensor\n" + storage + view + b"R"


def text(string):
    """The instruction of a pickle for it."""
    return b"X" + struct.pack("<I", len(string)) + string.encode()


def _integers(values):
    return b"(" + b"".join(map(_integer, values)) + b"t"


def _integer(value):
    return b"J" + struct.pack("<i", value)


def caffe_model(blobs):
    """A Caffe model of the arrays of each layer by its name."""
    return b"".join(
        field(100, field(1, layer.encode()) + b"".join(field(7, blob(array.shape, array)) for array in arrays))
        for layer, arrays in blobs.items()
    )


def blob(shape, data):
    """The content of a BlobProto."""
    return field(7, field(1, b"".join(map(_varint, shape)))) + field(5, data.tobytes())


def field(number, content):
    """A field of a protocol buffer: a whole number, or anything that has a length."""
    if isinstance(content, int):
        return _varint(number << 3) + _varint(content)
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number):
    return bytes([number]) if number < 128 else bytes([number % 128 + 128]) + _varint(number // 128)
