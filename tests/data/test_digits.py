import tempfile

import numpy as np
from processes import run_python
from sklearn.datasets import load_digits

from senet_jax.data.digits import Digits


def pairs(images, labels):
    return sorted((int(label), image.tobytes()) for image, label in zip(images, labels, strict=True))


def test_has_every_digit_once_and_every_fifth_in_the_test_split(digits):
    values, targets = load_digits(return_X_y=True)
    pixels = np.round(values * 255 / 16).astype(np.uint8)
    is_test = np.arange(1797) % 5 == 4
    for split, chosen in ((digits.train, ~is_test), (digits.test, is_test)):
        images, labels, _ = split.decoded(8, 1.0)
        assert pairs(images, labels) == pairs(pixels[chosen], targets[chosen])
    assert (len(digits.train), len(digits.test)) == (1438, 359)


def test_an_unprepared_dataset_leaves_no_temporary_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert not Digits(data_dir=str(tmp_path / "data")).is_prepared()
    assert not list(tmp_path.iterdir())


def test_describes_itself(digits):
    assert (digits.name, digits.num_classes, digits.channels) == ("digits", 10, 1)
    assert digits.class_names == tuple("0123456789")


def test_reading_needs_neither_scikit_learn_nor_tensorflow(digits, digits_config):
    script = f"""
import sys
from senet_jax import config
assert not {{"grain", "tensorflow_datasets", "numpy"}} & set(sys.modules)
sys.modules["sklearn"] = None
from senet_jax import data
print(len(data.open_dataset(config.DataConfig(data_dir={digits_config.data_dir!r})).train))
assert "tensorflow" not in sys.modules
"""
    result = run_python(script)
    assert (result.stdout.strip(), result.stderr) == ("1438", "")
