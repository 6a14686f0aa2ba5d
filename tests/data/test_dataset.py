import dataclasses
import resource
import shutil
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds

from senet_jax import data
from senet_jax.config import DataConfig
from senet_jax.data.dataset import overlap
from senet_jax.data.split import Split
from senet_jax.disks import allow_open_files


class SenetJaxTestDataset(tfds.core.GeneratorBasedBuilder):
    """A dataset whose features and whose fate a test sets."""

    VERSION = tfds.core.Version("1.0.0")
    features: ClassVar = {}
    failure = None

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(self.features))

    def _split_generators(self, dl_manager):
        if self.failure:
            raise self.failure
        return {"train": self._generate_examples(), "test": self._generate_examples()}

    def _generate_examples(self):
        yield 0, {name: "0" if name == "label" else b"bytes" for name in self.features}


def config_of(tmp_path, **values):
    return DataConfig(name="senet_jax_test_dataset", data_dir=str(tmp_path), **values)


@pytest.mark.parametrize("field", ["train_split", "test_split"])
def test_a_missing_split_lists_the_others(digits_config, field):
    message = (
        r"'digits' has no split 'val'; it has 'test' \(359 examples\), 'train' \(1438 examples\), and slices of them"
    )
    with pytest.raises(ValueError, match=message):
        data.open_dataset(dataclasses.replace(digits_config, **{field: "val"}))


def test_slices(digits_config):
    opened = data.open_dataset(dataclasses.replace(digits_config, train_split="train[:90%]", test_split="train[90%:]"))
    assert (len(opened.train), len(opened.test)) == (1294, 144)
    with pytest.raises(ValueError, match=r"split 'train\[:0\]' of dataset 'digits' has no examples"):
        data.open_dataset(dataclasses.replace(digits_config, train_split="train[:0]"))
    with pytest.raises(ValueError, match=r"'digits' has no split 'train\[:half\]'"):
        data.open_dataset(dataclasses.replace(digits_config, train_split="train[:half]"))


@pytest.mark.parametrize("field", ["mean", "std"])
def test_mean_and_std_must_fit_the_channels(digits_config, field):
    message = rf"config.data.{field} is \(0.1, 0.2, 0.3\); give one, or one for each channel: 'digits' has 1"
    with pytest.raises(ValueError, match=message):
        data.open_dataset(dataclasses.replace(digits_config, **{field: (0.1, 0.2, 0.3)}))


def test_an_unknown_name_gets_a_suggestion(tmp_path):
    with pytest.raises(ValueError, match=r"'cifr10', which TFDS does not know and .*; did you mean 'cifar10"):
        data.open_dataset(DataConfig(name="cifr10", data_dir=str(tmp_path)))
    with pytest.raises(ValueError, match=r"'digit', which TFDS does not know and .*; did you mean 'digits'"):
        data.open_dataset(DataConfig(name="digit", data_dir=str(tmp_path)))


def test_folder_needs_a_path(tmp_path):
    with pytest.raises(ValueError, match=r"config.data.path is none; give the directory"):
        data.open_dataset(DataConfig(name="folder", data_dir=str(tmp_path)))


def test_the_number_of_training_images_is_known_in_advance(digits_config, folder, tmp_path):
    data.open_dataset(digits_config)
    assert data.train_images(dataclasses.replace(digits_config, train_split="train[:10%]")) == 144
    assert data.train_images(dataclasses.replace(digits_config, train_split="none")) is None
    assert data.train_images(DataConfig("digits", data_dir=str(tmp_path))) == 1438
    here = DataConfig("folder", path=str(folder), data_dir=str(tmp_path))
    assert data.train_images(here) == len(list((folder / "train").glob("*/*")))
    assert data.train_images(dataclasses.replace(here, train_split="train[:1]")) == 1
    assert data.train_images(dataclasses.replace(here, train_split="train[:x]")) is None


def test_a_dataset_that_cannot_be_prepared_names_its_place_and_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(SenetJaxTestDataset, "failure", ConnectionError("no route\nto host"))
    message = (
        r"'senet_jax_test_dataset' is not in .*senet_jax_test_dataset.1.0.0 and could not be prepared there "
        r"\(ConnectionError: no route\); .* `tfds build senet_jax_test_dataset --file_format=array_record "
        r"--data_dir=DIR`, then give --config.data.data_dir=DIR"
    )
    with pytest.raises(ValueError, match=message):
        data.open_dataset(config_of(tmp_path))


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"text": tfds.features.Text()}, r"no feature 'image' of type Image; it has 'text' \(Text\)"),
        ({"image": tfds.features.Image()}, r"no feature 'label' of type ClassLabel; it has 'image' \(Image\)"),
        (
            {"image": tfds.features.Image(shape=(None, None, 4)), "label": tfds.features.ClassLabel(num_classes=2)},
            r"shape \(None, None, 4\) and type uint8; they must have 1 or 3 channels of uint8",
        ),
        (
            {"image": tfds.features.Image(), "label": tfds.features.ClassLabel(num_classes=2)},
            r"example 0 of split 'train' has not an image that Pillow can read",
        ),
    ],
)
def test_other_datasets_than_image_classification_are_refused(tmp_path, monkeypatch, features, message):
    monkeypatch.setattr(SenetJaxTestDataset, "features", features)
    with pytest.raises(ValueError, match=message):
        data.open_dataset(config_of(tmp_path))


def test_another_file_format_is_refused(tmp_path, monkeypatch, digits_config):
    data.open_dataset(digits_config)
    copy = tmp_path / "digits" / "1.0.0"
    copy.mkdir(parents=True)
    for file in (Path(digits_config.data_dir) / "digits" / "1.0.0").iterdir():
        text = (
            file.read_bytes().replace(b'"array_record"', b'"tfrecord"') if file.suffix == ".json" else file.read_bytes()
        )
        (copy / file.name).write_bytes(text)
    with pytest.raises(ValueError, match=r"digits.1.0.0 is not stored as array_record, .* `tfds convert_format"):
        data.open_dataset(dataclasses.replace(digits_config, data_dir=str(tmp_path)))


def test_missing_examples_are_noticed(folder_config):
    data.open_dataset(folder_config)
    (train,) = Path(folder_config.data_dir).glob("folder/*/1.1.0/*-train.array_record-*")
    (test,) = Path(folder_config.data_dir).glob("folder/*/1.1.0/*-test.array_record-*")
    train.write_bytes(test.read_bytes())
    with pytest.raises(ValueError, match=r"split 'train' in .* has 4 readable examples of 12; remove that directory"):
        data.open_dataset(folder_config)
    train.unlink()
    with pytest.raises(ValueError, match=r"split 'train' in .* cannot be read"):
        data.open_dataset(folder_config)


def test_a_record_that_the_file_has_lost_is_a_bad_image(digits_config, tmp_path):
    data.open_dataset(digits_config)
    copy = shutil.copytree(digits_config.data_dir, tmp_path / "data")
    (shard,) = copy.glob("digits/1.0.0/*-train.array_record-*")
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 16
    shard.write_bytes(content)
    train = data.open_dataset(dataclasses.replace(digits_config, data_dir=str(copy))).train
    (lost,) = np.flatnonzero(train.decoded(8, 1.0).bad)
    assert train.fault(int(lost))[1].startswith("a record that cannot be read: Corrupted Riegeli/records file")


class FakeSource:
    def __init__(self, split, label):
        (self.example,) = split.source.__getitems__([0])
        self.label = label

    def __len__(self):
        return 1

    def __getitems__(self, keys):
        return [self.example | {"label": self.label} for _ in keys]


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ("train", "test", False),
        ("train[:80%]", "train[80%:]", False),
        ("train[:80%]+test", "train[79%:]", True),
        ("train", "train[-1%:]", True),
        ("train[:500]", "train[500:]", None),
        ("train[:500]", "test", False),
        ("all", "train", True),
        ("train[:500]", "train[:500]", True),
    ],
)
def test_slices_that_have_examples_in_common(first, second, shared):
    assert overlap(first, second) is shared


@pytest.mark.parametrize("label", [-1, 10])
def test_a_label_out_of_range_is_refused(digits, label):
    split = Split("test", FakeSource(digits.test, label), num_classes=10, channels=1)
    with pytest.raises(ValueError, match=rf"example 0 of split 'test' has label {label}, which must be one of 0 to 9"):
        split.decoded(8, 1.0)


def test_decoded_pixels_are_kept_and_cannot_be_changed(digits):
    images, labels, _ = digits.test.decoded(8, 1.0)
    assert images is digits.test.decoded(8, 1.0)[0]
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0
    assert (images.dtype, labels.dtype) == (np.uint8, np.int32)


def test_preparing_prints_one_line_and_then_nothing(tmp_path, capfd):
    config = DataConfig(data_dir=str(tmp_path))
    data.open_dataset(config)
    assert capfd.readouterr() == ("", f"preparing dataset digits/1.0.0 in {tmp_path}/digits/1.0.0\n")
    data.open_dataset(config)
    assert capfd.readouterr() == ("", "")


def test_files_of_many_shards_can_be_open():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        allow_open_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(hard, 65_536), hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_data_dir_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    message = (
        r"--config.data.data_dir: the place of dataset 'digits', .*/file/data/.*, cannot be written: Not a directory"
    )
    with pytest.raises(ValueError, match=message):
        data.open_dataset(DataConfig(name="digits", data_dir=str(tmp_path / "file/data")))
