import numpy as np
import pytest
from PIL import Image

from senet_jax import data
from senet_jax.config import DataConfig


def _write_images(root, split, label, count, *, size=(8, 8), mode="RGB", suffix="png", seed=0):
    rng = np.random.default_rng((seed, count, *label.encode()))
    directory = root / split / label
    directory.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        shape = size[::-1] if mode == "L" else (*size[::-1], len(mode))
        pixels = rng.integers(0, 256, shape, np.uint8)
        Image.fromarray(pixels, mode).save(directory / f"{index}.{suffix}")


@pytest.fixture(scope="session")
def write_images():
    return _write_images


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "pets"
    for split, count in (("train", 6), ("test", 2)):
        for label in ("cat", "dog"):
            _write_images(root, split, label, count)
    return root


@pytest.fixture
def folder_config(folder, tmp_path):
    return DataConfig(name="folder", path=str(folder), data_dir=str(tmp_path / "prepared"))


@pytest.fixture(scope="session")
def digits_config(tmp_path_factory):
    return DataConfig(data_dir=str(tmp_path_factory.mktemp("digits")))


@pytest.fixture(scope="session")
def digits(digits_config):
    return data.open_dataset(digits_config)
