"""A few of the inputs of `benchmarks.fuzz`, and files that would execute or write if they were believed."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.fuzz import targets, tried
from senet_jax.weights.files import read_tensors


@pytest.mark.slow
@pytest.mark.parametrize("name", targets())
def test_damaged_bytes_are_read_or_refused(name):
    target = targets()[name]
    outcome = tried(target, 60)
    assert not outcome.faults
    assert outcome.refused


@pytest.mark.parametrize("name", targets())
def test_the_seeds_are_valid_before_damage(name, tmp_path):
    target = targets()[name]
    for content in target.seeds:
        (tmp_path / target.name).write_bytes(content)
        target.read(tmp_path / target.name)


class Canary:
    """Its pickle makes a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_an_npz_of_objects_is_refused_and_does_not_run(tmp_path):
    canary = tmp_path / "canary"
    np.savez(tmp_path / "weights.npz", w=np.array([Canary(canary)], dtype=object))
    with pytest.raises(
        ValueError, match=r"weights\.npz cannot be read as a weight file: it is a zip archive, but not of"
    ):
        read_tensors(tmp_path / "weights.npz")
    assert not canary.exists()
    np.load(tmp_path / "weights.npz", allow_pickle=True)["w"]
    assert canary.exists()  # So the canary was a real one.


def test_an_archive_with_paths_that_lead_out_writes_nothing(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps({}))
        archive.writestr("../outside", "x")
        archive.writestr(str(tmp_path / "absolute"), "x")
    (inner / "model.pth").write_bytes(content.getvalue())
    with pytest.raises(ValueError, match="it holds no tensors"):
        read_tensors(inner / "model.pth")
    assert [path.name for path in tmp_path.rglob("*")] == ["inner", "model.pth"]
