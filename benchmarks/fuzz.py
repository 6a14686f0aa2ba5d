"""Gives randomly damaged files to every reader of files of others.

    python -m benchmarks.fuzz [--inputs=1000] [--only=TARGET]

Hypothesis damages valid files: it flips, overwrites, removes, inserts and repeats bytes, and cuts files short; in JSON
files it also puts other values in place of some. Each reader may refuse an input with its own error, which users get as
one line. Anything else is a fault: another error, or a file that is written. Prints a table: target, inputs, how many
were read, how many were refused, faults, and the seconds of the slowest input; then each fault. The inputs are the same
in every run.
"""

import argparse
import io
import json
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from senet_jax import schema
from senet_jax import workdir as workdirs
from senet_jax.config import Experiment
from senet_jax.data import crops, images
from senet_jax.weights import files, manifests, runs


@dataclass
class Target:
    """A reader, valid files for it, and the errors with which it may refuse one."""

    read: Callable[[Path], Any]
    seeds: list[bytes]
    refuses: type[Exception] | tuple[type[Exception], ...] = ValueError
    name: str = "input"
    """Name of the file."""
    inputs: st.SearchStrategy[bytes] | None = None
    """None: the seeds, damaged."""


@dataclass
class Outcome:
    """Counts and faults of a target's inputs."""

    read: int = 0
    refused: int = 0
    slowest: float = 0.0
    faults: dict[str, bytes] = field(default_factory=dict)
    """An input for each kind of fault."""


@st.composite
def damaged(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """Draws a valid file with up to three kinds of damage."""
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, max(0, len(content) - 1)))
        length = draw(st.integers(1, 64))
        match draw(st.sampled_from(["flip", "overwrite", "zero", "remove", "insert", "repeat", "cut"])):
            case "flip" if content:
                content[start] ^= 1 << draw(st.integers(0, 7))
            case "overwrite":
                content[start : start + length] = draw(st.binary(min_size=1, max_size=8))
            case "zero":
                content[start : start + length] = bytes(min(length, len(content) - start))
            case "remove":
                del content[start : start + length]
            case "insert":
                content[start:start] = draw(st.binary(min_size=1, max_size=64))
            case "repeat":
                content[start:start] = content[start : start + length] * draw(st.integers(1, 8))
            case "cut":
                del content[start:]
    return bytes(content)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
"""Any values that JSON holds."""


@st.composite
def other_values(draw: st.DrawFn, content: bytes) -> bytes:
    """Draws a JSON file with one to three values replaced or added."""
    values = json.loads(content)
    for _ in range(draw(st.integers(1, 3))):
        section = values
        while inner := [name for name, value in section.items() if value and isinstance(value, dict)]:
            name = draw(st.sampled_from([None, *inner]))
            if name is None:
                break
            section = section[name]
        section[draw(st.sampled_from(sorted(section)) | st.text(max_size=10))] = draw(_VALUES)
    return json.dumps(values).encode()


def tried(target: Target, inputs: int) -> Outcome:
    """Reads that many damaged files."""
    outcome = Outcome()

    @settings(
        max_examples=inputs, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip
    @given(damaged(target.seeds) if target.inputs is None else target.inputs)
    def read(content: bytes) -> None:
        with tempfile.TemporaryDirectory() as parent:
            directory = Path(parent) / "directory"
            directory.mkdir()
            path = directory / target.name
            path.write_bytes(content)
            began, refused = time.perf_counter(), False
            try:
                with warnings.catch_warnings(action="ignore"):
                    target.read(path)
            except target.refuses:
                refused = True
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                outcome.faults.setdefault(f"{type(error).__name__}: {str(error)[:200]}", content)
                return
            finally:
                outcome.slowest = max(outcome.slowest, time.perf_counter() - began)
            if list(Path(parent).iterdir()) != [directory] or list(directory.iterdir()) != [path]:
                outcome.faults.setdefault("a file was written", content)
            elif refused:
                outcome.refused += 1
            else:
                outcome.read += 1

    read()
    return outcome


def _image(path: Path) -> None:
    content = path.read_bytes()
    images.center_crop(images.read(content), 8, 0.875)
    crops.random_resized_crop(content, 3, 8, np.random.default_rng(0))


def _config(path: Path) -> None:
    schema.validate(workdirs.read_config(path.parent))


def _description(path: Path) -> None:
    runs.read_description(path.parent)


def targets() -> dict[str, Target]:
    """The readers by their names."""
    config = json.dumps(schema.to_dict(Experiment())).encode()
    described = runs.describe(Experiment(), ("cat", "dog"), 3, 10, {"dataset": "pets/1.0.0"}).encode()
    state = {"params": {"kernel": np.arange(6.0)}}
    manifest = json.dumps(manifests.make(1, state, schema.to_dict(Experiment()))).encode()
    return {
        "configuration": Target(_config, [config], name=workdirs.CONFIG),
        "description of a network": Target(_description, [described], name=workdirs.NETWORK),
        "values of configurations": Target(_config, [config], name=workdirs.CONFIG, inputs=other_values(config)),
        "values of descriptions": Target(
            _description, [described], name=workdirs.NETWORK, inputs=other_values(described)
        ),
        "manifest of a checkpoint": Target(manifests.read_file, [manifest], manifests.DamagedError),
        "weights": Target(files.read_tensors, _weights(), name="model.pth"),
        "images": Target(_image, _images(), images.BadImageError, name="1.jpg"),
    }


def _images() -> list[bytes]:
    rows, columns = np.mgrid[:24, :32].astype(np.uint8)
    colours = Image.fromarray(np.stack([8 * columns, 10 * rows, 4 * (rows + columns)], -1))
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = [
        (colours, "JPEG", {}),
        (colours.convert("L"), "JPEG", {"exif": exif}),
        (colours, "JPEG", {"progressive": True}),
        (colours.convert("CMYK"), "JPEG", {}),
        (colours.convert("RGBA"), "PNG", {}),
        (colours.convert("P"), "GIF", {}),
        (colours, "WEBP", {}),
        (colours.convert("I;16"), "TIFF", {}),
        (colours, "BMP", {}),
        (colours, "PPM", {}),
    ]
    files = []
    for image, kind, options in kinds:
        file = io.BytesIO()
        image.save(file, kind, **options)
        files.append(file.getvalue())
    return files


def _weights() -> list[bytes]:
    """Makes a safetensors file, PyTorch's two formats and a Caffe model, each of a small array."""
    from safetensors.numpy import save

    storage = b"((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor\n" + storage + b"K\0(K\x04t(K\x01ttR"
    state = b"\x80\x02}X\x01\0\0\0w" + tensor + b"s."
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("model/data.pkl", state.replace(b"_rebuild_tensor\n", b"_rebuild_tensor_v2\n"))
        file.writestr("model/data/0", bytes(16))
        file.writestr("model/byteorder", b"little")
    legacy = [
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", b"\x80\x02M\xe9\x03.", b"\x80\x02}X\r\0\0\0little_endian\x88s.",
        state, b"\x80\x02]X\x01\0\0\x000a.", (4).to_bytes(8, "little"), bytes(16),
    ]  # fmt: skip
    blob = b"\x3a\x03\x0a\x01\x04" + b"\x2a\x10" + bytes(16)
    layer = b"\x0a\x01w" + b"\x3a" + bytes([len(blob)]) + blob
    caffe = b"\xa2\x06" + bytes([len(layer)]) + layer
    return [save({"w": np.arange(4, dtype=np.float32)}, {"model": "x"}), archive.getvalue(), b"".join(legacy), caffe]


def main() -> None:
    """Prints the table; ends with status 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1000, help="inputs for each target")
    parser.add_argument("--only", choices=tuple(targets()))
    given = parser.parse_args()
    chosen = {name: target for name, target in targets().items() if given.only in (None, name)}
    print(f"{'target':24} {'inputs':>7} {'read':>7} {'refused':>7} {'faults':>6} {'slowest, s':>10}", flush=True)
    faults = []
    for name, target in chosen.items():
        outcome = tried(target, given.inputs)
        faults += [(name, fault, content) for fault, content in outcome.faults.items()]
        number = given.inputs - outcome.read - outcome.refused
        print(
            f"{name:24} {given.inputs:7} {outcome.read:7} {outcome.refused:7} {number:6} {outcome.slowest:10.2f}",
            flush=True,
        )
    for name, fault, content in faults:
        print(f"\n{name}: {fault}\n{content!r}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
