"""Caffe models: a protocol buffer of layers, each with its blobs."""

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

_MESSAGES = {  # The part that weights need. Every field is repeated, so that an absent one is an empty list.
    "NetParameter": {"layers": (2, "V1LayerParameter"), "layer": (100, "LayerParameter")},
    "V1LayerParameter": {"name": (4, "bytes"), "blobs": (6, "BlobProto")},
    "LayerParameter": {"name": (1, "bytes"), "blobs": (7, "BlobProto")},
    "BlobProto": {
        "num": (1, "int32"),
        "channels": (2, "int32"),
        "height": (3, "int32"),
        "width": (4, "int32"),
        "data": (5, "bytes"),  # Packed floats have the same bytes in the file and in memory.
        "shape": (7, "BlobShape"),
        "double_data": (8, "bytes"),
    },
    "BlobShape": {"dim": (1, "int64")},
}


def read(path: Path) -> dict[str, np.ndarray]:
    """Returns every blob of a Caffe model, named "layer/0", "layer/1" and so on; none if it is another file.

    Blobs of old models, which have no shape, are (num, channels, height, width).

    Raises ValueError if the size of a blob contradicts its shape, or if two layers have one name.
    """
    network = _network_class()()
    try:
        network.ParseFromString(path.read_bytes())
    except DecodeError:
        return {}
    tensors = {}
    for layer in [*network.layer, *network.layers]:
        for index, blob in enumerate(layer.blobs):
            name = f"{b''.join(layer.name).decode()}/{index}"
            if name in tensors:
                raise ValueError(f"the Caffe model has the blob {name!r} twice")
            tensors[name] = _array(name, blob)
    return tensors


def _array(name: str, blob: Any) -> np.ndarray:
    shape = [*blob.num, *blob.channels, *blob.height, *blob.width] or [size for s in blob.shape for size in s.dim]
    content, dtype = (blob.data, "<f4") if blob.data else (blob.double_data, "<f8")
    values = b"".join(content)
    if min(shape, default=0) < 0 or len(values) != math.prod(shape) * np.dtype(dtype).itemsize:
        raise ValueError(f"the blob {name!r} of the Caffe model has {len(values)} bytes for the shape {shape}")
    return np.frombuffer(values, dtype).reshape(shape)


@cache
def _network_class() -> Any:
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            declared = message.field.add(name=field, number=number, label=kinds.LABEL_REPEATED)
            if kind in _MESSAGES:
                declared.type, declared.type_name = kinds.TYPE_MESSAGE, kind
            else:
                declared.type = kinds.Type.Value(f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("NetParameter"))
