import json

import numpy as np
import pytest

from senet_jax.analysis import real_labels


@pytest.fixture
def labels(tmp_path):
    (tmp_path / "real.json").write_text(json.dumps([[3], [], [5, 999]] + [[0]] * 49_997))
    return real_labels.read(tmp_path / "real.json")


def named(*numbers):
    return [f"val/ILSVRC2012_val_{number:08d}.JPEG" for number in numbers]


def test_a_prediction_among_the_classes_is_right_and_images_without_classes_do_not_count(labels):
    assert real_labels.accuracy(labels, named(3, 1, 2, 50_000), np.array([999, 4, 7, 0])) == (2 / 3, 3)


def test_other_labels_and_other_images_are_refused(labels, tmp_path):
    for files in (["cat.jpg"], [""], named(50_001)):
        with pytest.raises(ValueError, match="is none of ImageNet's validation images"):
            real_labels.accuracy(labels, files, np.array([0]))
    with pytest.raises(ValueError, match="none of these images has a class"):
        real_labels.accuracy(labels, named(2), np.array([0]))
    for text in ("[[1]]", "no JSON", json.dumps([[1000]] * 50_000)):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(ValueError, match=r"other\.json is not real\.json of ReaL"):
            real_labels.read(tmp_path / "other.json")
