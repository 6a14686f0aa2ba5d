"""The fixtures were written by PyTorch 2.13:

values = torch.arange(24) / 8
state = torch.nn.BatchNorm1d(2).state_dict()
state["conv"] = values.reshape(2, 3, 2, 2).to(memory_format=torch.channels_last)
state["shared"] = values[4:10]
state["strided"] = values.reshape(4, 6)[:, 1:3].t()
state["parameter"] = torch.nn.Parameter(values[:2].clone())
state["double"], state["half"], state["bfloat16"] = values.double(), values.half(), values.bfloat16()
state["bool"] = values > 1
data_parallel = {f"module.{name}": tensor for name, tensor in state.items()}
others = {"epoch": 3, "args": argparse.Namespace(lr=0.1), "best": numpy.float64(0.5), "optimizer": {"m": values}}
torch.save({"state_dict": data_parallel, **others}, "zip.pth")
torch.save({"model": state}, "protocol4.pth", _use_new_zipfile_serialization=False, pickle_protocol=4)
torch.save(state, "legacy.pth", _use_new_zipfile_serialization=False)
own, average = ({"_orig_mod.module.a": torch.full((2,), value)} for value in (1.0, 2.0))
torch.save({"state_dict": own, "state_dict_ema": average}, "average.pth")
"""

import copyreg
import io
import os
import pickle
import re
import struct
import sys
import zipfile
from collections import Counter
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from weights.writers import blob, field, legacy, pickled_tensors, text

from senet_jax.weights.files import read_tensors, write_tensors

FIXTURES = Path(__file__).parent / "fixtures"
VALUES = np.arange(24, dtype=np.float32) / 8
STATE = {
    "weight": np.ones(2, np.float32),
    "bias": np.zeros(2, np.float32),
    "running_mean": np.zeros(2, np.float32),
    "running_var": np.ones(2, np.float32),
    "num_batches_tracked": np.array(0),
    "conv": VALUES.reshape(2, 3, 2, 2),
    "shared": VALUES[4:10],
    "strided": VALUES.reshape(4, 6)[:, 1:3].T,
    "parameter": VALUES[:2],
    "double": VALUES.astype(np.float64),
    "half": VALUES,
    "bfloat16": VALUES,
    "bool": VALUES > 1,
}


def assert_equal(tensors, expected):
    assert list(tensors) == list(expected)
    for name, value in expected.items():
        assert tensors[name].dtype == value.dtype, name
        np.testing.assert_array_equal(tensors[name], value, name)


def zipped(pickled, name="model/data.pkl", compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr(name, pickled)
    return file.getvalue()


@pytest.mark.parametrize("name", ["zip.pth", "legacy.pth", "protocol4.pth"])
def test_a_file_of_pytorch_is_known_by_its_content(name, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes((FIXTURES / name).read_bytes())
    tensors, metadata = read_tensors(path)
    assert_equal(tensors, STATE)
    assert metadata == {}


def test_prefixes_of_wrappers_are_removed_whatever_the_format(tmp_path):
    write_tensors(tmp_path / "a", {"module._orig_mod.a": np.ones(1), "module._orig_mod.module_b": np.ones(1)}, {})
    assert list(read_tensors(tmp_path / "a")[0]) == ["a", "module_b"]


def test_an_averaged_model_and_objects_beside_it(tmp_path):
    write_tensors(tmp_path / "a", {"module.a": np.ones(2, np.float32), "n_averaged": np.array(3)}, {})
    assert list(read_tensors(tmp_path / "a")[0]) == ["a"]
    for beside in (Counter([30, 60]), Path("out"), {1, 2}):
        pickled = pickle.dumps({"a": 1, "beside": beside}, 2)
        (tmp_path / "b").write_bytes(zipped(pickled))
        with pytest.raises(ValueError, match="neither a state dict nor a checkpoint with one: 'a' in it is no tensor"):
            read_tensors(tmp_path / "b")


def test_the_moving_average_of_a_checkpoint_is_taken_with_a_warning():
    with pytest.warns(UserWarning, match=r"average 'state_dict_ema' is taken, .* average=False takes 'state_dict'"):
        tensors, _ = read_tensors(FIXTURES / "average.pth")
    np.testing.assert_array_equal(tensors["a"], [2, 2])
    np.testing.assert_array_equal(read_tensors(FIXTURES / "average.pth", average=False)[0]["a"], [1, 1])


def test_tensors_of_2017(tmp_path):
    content = (FIXTURES / "legacy.pth").read_bytes()
    (tmp_path / "old.pth").write_bytes(content.replace(b"_rebuild_tensor_v2\n", b"_rebuild_tensor\n"))
    assert_equal(read_tensors(tmp_path / "old.pth")[0], STATE)


class Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"state_dict": {"a": x}}, lambda x: {"a": 1, "note": [x]}])
def test_a_pickle_that_calls_is_refused_and_does_not_run(wrap, protocol, tmp_path):
    canary, path = tmp_path / "canary", tmp_path / "model.pth"
    for call in (Calls(os.system, f"touch {canary}"), Calls(eval, f"open({str(canary)!r}, 'w').close()")):
        pickled = pickle.dumps(wrap(call), protocol)
        for content in (pickled, legacy(pickled, protocol), zipped(pickled)):
            path.write_bytes(content)
            with pytest.raises(ValueError, match=r"model\.pth.*it calls (posix\.system|_?_?builtins?_?_?\.eval);"):
                read_tensors(path)
            assert not canary.exists()
        pickle.loads(pickled)
        canary.unlink()  # So the call was a real one.


SYSTEM, DICT = b"cposix\nsystem\n", b"ccollections\nOrderedDict\n"
REBUILD, IGNORED = b"ctorch._utils\n_rebuild_tensor_v2\n", b"cargparse\nNamespace\n"


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (b"(" + text("CANARY") + b"iposix\nsystem\n", "the pickle instruction INST"),
        (b"(" + SYSTEM + text("CANARY") + b"o", "the pickle instruction OBJ"),
        (SYSTEM + text("CANARY") + b"\x85}\x92", "the pickle instruction NEWOBJ_EX|it calls posix.system"),
        (b"\x82\xf0" + text("CANARY") + b"\x85R", "the pickle instruction EXT1"),
        (b"\x83\xf0\0" + text("CANARY") + b"\x85R", "the pickle instruction EXT2"),
        (b"\x84\xf0\0\0\0" + text("CANARY") + b"\x85R", "the pickle instruction EXT4"),
        (text("posix") + text("system") + b"\x93" + text("CANARY") + b"\x85R", "it calls posix.system"),
        (text("torch") + text("Size.__call__") + b"\x93", r"it calls torch\.Size\.__call__"),
        (text("torch._utils") + text("_rebuild_tensor.__globals__") + b"\x93", "it calls .*__globals__"),
        (DICT + b"}" + text("__setstate__") + SYSTEM + b"sb", "it calls posix.system"),
        (DICT + b"N}" + text("a") + text("b") + b"s\x86b", "TypeError"),  # Attributes of a class of ours.
        (IGNORED + b"N}" + text("a") + text("b") + b"s\x86b", "TypeError"),
        (REBUILD + b"N}" + text("__doc__") + text("b") + b"s\x86b", "it gives attributes to a function"),
        (b"]N}" + text("a") + text("b") + b"s\x86b", "AttributeError"),
        (text("torch.Size") + b")R", "TypeError"),
        (b"ctorch\nFloatStorage\n)R", "TypeError"),
        (DICT + b")R" + text("__class__") + SYSTEM + b"s", "it calls posix.system"),
        (b"r\xff\xff\xff\xff", "instruction 2 of its pickle has the number 4294967295"),
        (b"\x8d" + b"\xff" * 7 + b"\x7f", "but only"),
    ],
)
def test_no_instruction_of_a_pickle_reaches_beyond_the_list(program, message, tmp_path, extension):
    canary, path = tmp_path / "canary", tmp_path / "model.pth"
    command = f"touch {canary}"
    pickled = b"\x80\x04}" + program.replace(text("CANARY"), text(command)) + b"."
    for content in (legacy(pickled), zipped(pickled)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_tensors(path)
    assert not canary.exists()
    assert_equal(read_tensors(FIXTURES / "legacy.pth")[0], STATE)


@pytest.fixture
def extension():
    """Registers os.system under a number, and has it in the cache of Python's own readers, which ask nobody then."""
    copyreg.add_extension("posix", "system", 240)
    assert pickle.loads(b"\x80\x02\x82\xf0.") is os.system
    yield
    copyreg.remove_extension("posix", "system", 240)
    copyreg.clear_extension_cache()


@pytest.mark.parametrize("name", ["zip.pth", "legacy.pth", "protocol4.pth", "model.safetensors"])
def test_a_file_that_is_cut_off_is_refused(name, tmp_path):
    write_tensors(tmp_path / "model.safetensors", {"a": VALUES}, {})
    content = ((FIXTURES if name.endswith("pth") else tmp_path) / name).read_bytes()
    for length in [*range(0, len(content), 37), len(content) - 1]:
        (tmp_path / name).write_bytes(content[:length])
        with pytest.raises(ValueError, match=f"{re.escape(str(tmp_path / name))} cannot be read as a weight file: "):
            read_tensors(tmp_path / name)


def test_a_tensor_stays_within_its_storage(tmp_path):
    path = tmp_path / "model.pth"

    def read(*tensor, count=6, present=6):
        storages = pickle.dumps(["0"], 2) + struct.pack("<q", count) + VALUES[:present].tobytes()
        path.write_bytes(legacy(pickled_tensors({"a": tensor}), storages=storages))
        return read_tensors(path)[0]["a"]

    np.testing.assert_array_equal(read(6, 1, (2, 2), (3, 1)), VALUES[:6].reshape(2, 3)[:, 1:])
    assert read(6, 6, (0, 3), (3, 1)).shape == (0, 3)
    with pytest.raises(ValueError, match="a wants element 6 of a storage of 6 elements"):
        read(6, 2, (2, 2), (3, 1))
    for described in ((6, -1, (2,), (1,)), (6, 5, (2,), (-1,)), (6, 0, (2, 3), (1,))):
        with pytest.raises(ValueError, match="it has a tensor that is described in an unknown way"):
            read(*described)
    for wrong in ({"count": 5}, {"present": 5}):
        with pytest.raises(ValueError, match="storage 0, of 6 elements, is damaged or cut off"):
            read(6, 0, (6,), (1,), **wrong)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html>", r"no safetensors, PyTorch or Caffe file.*begins with b'<!DOCTYPE html>"),
        (bytes(100), "no safetensors, PyTorch or Caffe file"),
        (b"cposix\nsystem\n(S'true'\ntR.", "no safetensors, PyTorch or Caffe file"),
        (pickle.dumps([1, 2]), "a pickle, but not of PyTorch"),
        (zipped(b"", "image.png"), "a zip archive, but not of PyTorch"),
        (zipped(bytes(9999), compression=zipfile.ZIP_DEFLATED), "data.pkl in the archive is compressed"),
        (legacy([1, 2]), "it holds no dictionary of tensors"),
        (legacy({}), "it holds no tensors"),
        (legacy({"epoch": 3, "net": {}}), "neither a state dict nor a checkpoint with one: 'epoch' in it is no tensor"),
        (legacy(b"\x80\x02}(X\x01\x00\x00\x00a]uX\x00\x00\x00\x000."), "the pickle instruction POP"),
    ],
)
def test_a_file_without_tensors_is_refused(content, message, tmp_path):
    (tmp_path / "model").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_tensors(tmp_path / "model")


def test_caffe(tmp_path):
    old = b"".join(field(1 + axis, size) for axis, size in enumerate((1, 1, 2, 3)))
    layers = [
        field(1, b"SE-net"),
        field(100, field(1, b"conv1/7x7_s2") + field(2, b"Convolution") + field(7, blob((2, 3, 2, 2), VALUES))),
        field(100, field(1, b"relu") + field(2, b"ReLU")),
        field(
            100,
            field(1, b"bn") + field(7, blob((300,), np.arange(300, dtype="<f4"))) + field(7, blob((1,), VALUES[:1])),
        ),
        field(2, field(4, b"old") + field(5, 4) + field(6, old + field(8, VALUES[:6].astype("<f8").tobytes()))),
    ]
    path = tmp_path / "SE-net.caffemodel"
    path.write_bytes(b"".join(layers))
    tensors, metadata = read_tensors(path)
    expected = {
        "conv1/7x7_s2/0": VALUES.reshape(2, 3, 2, 2),
        "bn/0": np.arange(300, dtype=np.float32),
        "bn/1": VALUES[:1],
        "old/0": VALUES[:6].astype(np.float64).reshape(1, 1, 2, 3),
    }
    assert_equal(tensors, expected)
    assert metadata == {}
    path.write_bytes(b"".join(layers)[:-1])
    with pytest.raises(ValueError, match="no safetensors, PyTorch or Caffe file, or it is damaged"):
        read_tensors(path)
    path.write_bytes(layers[1] + layers[1])
    with pytest.raises(ValueError, match="has the blob 'conv1/7x7_s2/0' twice"):
        read_tensors(path)
    path.write_bytes(field(100, field(1, b"fc") + field(7, blob((5, 5), VALUES))))
    with pytest.raises(ValueError, match=r"blob 'fc/0' of the Caffe model has 96 bytes for the shape \[5, 5\]"):
        read_tensors(path)


def test_our_own_files_keep_arrays_and_metadata(tmp_path):
    path = tmp_path / "model.safetensors"
    tensors = {"a": VALUES.reshape(4, 6).T, "b": np.array(3), "c": np.zeros((0, 2), np.float32), "d": VALUES > 1}
    write_tensors(path, tensors | {"e": VALUES.astype(np.float16), "f": VALUES.astype(ml_dtypes.bfloat16)}, {"é": "1"})
    read, metadata = read_tensors(path)
    assert_equal({name: read[name] for name in "abcdef"}, tensors | {"e": VALUES, "f": VALUES})
    assert metadata == {"é": "1"}


def test_no_flipped_bit_of_our_own_files_passes_for_another_array(tmp_path):
    path, random, refused = tmp_path / "model.safetensors", np.random.default_rng(0), 0
    tensors, metadata = {"a": VALUES, "b": np.array(3)}, {"source": "a run", "class_names": '["cat", "dog"]'}
    write_tensors(path, tensors, metadata)
    assert read_tensors(path)[0].keys() == tensors.keys()
    whole = path.read_bytes()
    for _ in range(200):
        content = bytearray(whole)
        content[random.integers(len(whole))] ^= 1 << int(random.integers(8))
        path.write_bytes(content)
        try:
            read, said = read_tensors(path)
        except (ValueError, ModuleNotFoundError):
            refused += 1
        else:  # The name of the digest itself.
            assert_equal({name: read[name] for name in sorted(read)}, tensors)
            assert metadata.items() <= said.items()
    assert refused > 150


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    write_tensors(path, {"a": VALUES}, {})

    def half(path, content):
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="no space left"):
        write_tensors(path, {"a": VALUES + 1}, {})
    assert_equal(read_tensors(path)[0], {"a": VALUES})
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    write_tensors(tmp_path / "model.safetensors", {"a": VALUES}, {})
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ModuleNotFoundError, match="pip install safetensors"):
        read_tensors(tmp_path / "model.safetensors")
