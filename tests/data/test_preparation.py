"""Image files become a dataset of TFDS."""

import dataclasses
import io
import os
import sys
import tarfile

import imagenet_files
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from senet_jax import data
from senet_jax.config import DataConfig
from senet_jax.data import members, preparation, standard_sets
from senet_jax.data.preparation import Options, Preparation
from senet_jax.workdir import BusyError, RunError, locked


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    """Three classes of the official files, with two images to train on each and four to validate."""
    root = tmp_path_factory.mktemp("imagenet")
    imagenet_files.write(root, 2, 4, shorter_side=24, classes=3)
    return root


def planned(source, out, name="imagenet2012", **options):
    directory, names, splits = standard_sets.find(name, source, partial=True)
    return Preparation(name, out / directory, names, splits, Options(**options))


def stored(directory, split):
    """The examples of a prepared split, as they are on disk."""
    builder = tfds.builder_from_directory(directory)
    return list(builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()}))


def test_the_official_files_are_read_by_tfds_and_by_this_project(imagenet, tmp_path):
    plan = planned(imagenet, tmp_path)
    assert preparation.write(plan, jobs=1) == []
    for split, count in (("train", 6), ("validation", 4)):
        examples = stored(plan.directory, split)
        files = {member.name: member for member in plan.splits[split]}
        assert sorted(example["file_name"].decode() for example in examples) == sorted(files)
        assert len(examples) == count
        for example in examples:
            member = files[example["file_name"].decode()]
            assert example["image"] == next(members.read([member]))
            assert plan.class_names[example["label"]] == member.label
    config = DataConfig("imagenet2012", data_dir=str(tmp_path), test_split="validation", image_size=16)
    opened = data.open_dataset(config)
    assert (len(opened.train), len(opened.test), opened.num_classes) == (6, 4, 1000)
    assert "tensorflow" not in sys.modules


def test_missing_unknown_and_contradictory_files_are_named(imagenet, tmp_path):
    with pytest.raises(ValueError, match=r"split 'train' lacks the classes n01491361, .* and 992 more; fetch the miss"):
        standard_sets.find("imagenet2012", imagenet)
    with pytest.raises(ValueError, match=r"has neither ILSVRC2012_img_train\.tar"):
        standard_sets.find("imagenet2012", tmp_path)
    with pytest.raises(ValueError, match="--dataset=cifar10 is prepared by itself"):
        standard_sets.find("cifar10", tmp_path)
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "n1.JPEG").touch()
    with pytest.raises(ValueError, match=r"val has 'n1.JPEG', whose class is not known"):
        standard_sets.find("imagenet2012", tmp_path)
    (tmp_path / "val" / "n1.JPEG").unlink()
    (tmp_path / "train" / "cat").mkdir(parents=True)
    (tmp_path / "train" / "cat" / "1.JPEG").touch()
    with pytest.raises(ValueError, match="split 'train' has unknown classes: cat"):
        standard_sets.find("imagenet2012", tmp_path, partial=True)
    (tmp_path / "val" / "n01440764").mkdir(parents=True)
    (tmp_path / "val" / "valprep.sh").touch()
    with pytest.raises(ValueError, match=r"valprep.sh is not a class folder"):
        standard_sets.find("imagenet2012", tmp_path, partial=True)
    (tmp_path / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(b"cut short")
    with pytest.raises(ValueError, match=r"devkit in .* cannot be read \(ReadError: .*; fetch it again, or remove it"):
        standard_sets.validation_labels(tmp_path)


def test_a_file_that_cannot_be_written_is_named(tmp_path, write_images, monkeypatch):
    def fail(*_):
        raise RuntimeError("write() failed: No space left on device")

    for split in ("train", "test"):
        write_images(tmp_path / "source", split, "cat", 2)
    plan = planned(tmp_path / "source", tmp_path, name="pets")
    monkeypatch.setattr(preparation, "ArrayRecordWriter", fail)
    with pytest.raises(OSError, match=r"pets-test.* could not be written: write\(\) failed: No space .* bytes free"):
        preparation.write(plan, jobs=1)
    config = DataConfig("folder", path=str(tmp_path / "source"), data_dir=str(tmp_path))
    monkeypatch.setattr("senet_jax.data.folder.Folder._examples", fail)
    with pytest.raises(RunError, match=r"folder/source.* could not be written: write\(\) failed: .* bytes free"):
        data.open_dataset(config)


def test_any_class_folders_become_a_dataset_of_their_name(tmp_path, write_images, capsys):
    for split in ("train", "test"):
        for label in ("cat", "dog"):
            write_images(tmp_path / "source", split, label, 2)
    (tmp_path / "source" / "train" / "cat" / "notes.txt").touch()
    plan = planned(tmp_path / "source", tmp_path, name="pets")
    assert "left out: " in capsys.readouterr().err
    preparation.write(plan, jobs=1)
    opened = data.open_dataset(DataConfig("pets", data_dir=str(tmp_path)))
    assert (opened.class_names, len(opened.train), len(opened.test)) == (("cat", "dog"), 4, 4)


def test_names_that_are_not_text_and_names_of_splits(tmp_path, write_images):
    source = tmp_path / "source"
    write_images(source, "train", "cat", 2)
    file = next((source / "train" / "cat").iterdir())
    file.rename(os.fsdecode(os.fsencode(file.parent) + b"/caf\xe9.png"))
    plan = planned(source, tmp_path, name="pets")
    preparation.write(plan, jobs=1)
    opened = data.open_dataset(DataConfig("pets", data_dir=str(tmp_path), test_split="train"))
    assert "caf\N{REPLACEMENT CHARACTER}.png" in opened.train.names([0, 1])
    (source / "train").rename(source / "my split")
    with pytest.raises(ValueError, match=r"the split 'my split' in .* must be letters, digits, _ and -; rename it"):
        planned(source, tmp_path, name="pets2")


def test_places365_is_read_by_its_lists(tmp_path):
    (tmp_path / "categories_places365.txt").write_text("/a/airfield 0\n/b/bar 1\n")
    (tmp_path / "places365_train_standard.txt").write_text("/a/airfield/1.jpg 0\n/b/bar/1.jpg 1\n")
    (tmp_path / "places365_val.txt").write_text("v1.jpg 1\nv2.jpg 0\n")
    with tarfile.open(tmp_path / "train_256_places365standard.tar", "w") as tar:
        for name, data in (("data_256/a/airfield/1.jpg", b"one"), ("data_256/b/bar/1.jpg", b"second")):
            part = tarfile.TarInfo(name)
            part.size = len(data)
            tar.addfile(part, io.BytesIO(data))
    (tmp_path / "val_256").mkdir()
    with pytest.raises(ValueError, match=r"split 'validation' in .* has no images"):
        standard_sets.find("places365", tmp_path, partial=True)
    (tmp_path / "val_256" / "v1.jpg").write_bytes(b"val")
    directory, names, splits = standard_sets.find("places365", tmp_path, partial=True)
    assert (directory, names) == ("places365/1.0.0", ["/a/airfield", "/b/bar"])
    read = {
        split: [(m.label, data) for m, data in zip(found, members.read(found), strict=True)]
        for split, found in splits.items()
    }
    assert read == {"train": [("/a/airfield", b"one"), ("/b/bar", b"second")], "validation": [("/b/bar", b"val")]}
    with pytest.raises(ValueError, match="split 'train' has 2 images, which should be 1,803,460"):
        standard_sets.find("places365", tmp_path)
    for line in ("v1.jpg 2", "v1.jpg -1", "v1.jpg"):
        (tmp_path / "places365_val.txt").write_text(f"v0.jpg 1\n{line}\n")
        with pytest.raises(ValueError, match=f"val.txt, line 2: '{line}' must be .* from 0 to 1; fetch the list"):
            standard_sets.find("places365", tmp_path, partial=True)


def test_imagenet_v2_is_read_by_the_numbers_of_its_folders(tmp_path):
    for number in (0, 10, 999):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "a.jpeg").write_bytes(b"x")
    _, names, splits = standard_sets.find("imagenet_v2", tmp_path, partial=True)
    assert sorted(member.label for member in splits["test"]) == sorted(names[number] for number in (0, 10, 999))
    (tmp_path / "1000").mkdir()
    (tmp_path / "1000" / "a.jpeg").write_bytes(b"x")
    with pytest.raises(ValueError, match="must have the folders 0 to 999"):
        standard_sets.find("imagenet_v2", tmp_path, partial=True)


def test_a_preparation_that_was_stopped_goes_on(imagenet, tmp_path, monkeypatch):
    monkeypatch.setattr(members, "SHARD_BYTES", 4_000)
    whole, stopped = (planned(imagenet, tmp_path / name) for name in ("whole", "stopped"))
    preparation.write(whole, jobs=1)
    write_shard, written = preparation._write_shard, []

    def stop_at_the_third(names, options, shard):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(shard.file.name)
        return write_shard(names, options, shard)

    monkeypatch.setattr(preparation, "_write_shard", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        preparation.write(stopped, jobs=1)
    assert not stopped.directory.exists()
    unfinished = stopped.directory.with_name("5.1.0.unfinished")
    with locked(unfinished), pytest.raises(BusyError, match=f"another process is preparing in {unfinished}; wait for"):
        preparation.write(stopped, jobs=1)
    with pytest.raises(ValueError, match=r"was begun with other files, or with another --shorter_side"):
        preparation.write(dataclasses.replace(stopped, options=Options(shorter_side=16)), jobs=1)

    again = []
    monkeypatch.setattr(
        preparation, "_write_shard", lambda *args: again.append(args[2].file.name) or write_shard(*args)
    )
    preparation.write(stopped, jobs=1)
    assert len(written) == 2
    assert not set(written) & set(again)
    files = {file.name: file.read_bytes() for file in whole.directory.iterdir()}
    assert files == {file.name: file.read_bytes() for file in stopped.directory.iterdir()}
    with pytest.raises(ValueError, match="is there already; remove it"):
        preparation.write(stopped, jobs=1)


def test_images_are_shrunk_and_those_that_cannot_be_decoded_are_named(tmp_path, write_images):
    source = tmp_path / "source"
    write_images(source, "train", "cat", 1, size=(90, 60), suffix="jpg")
    write_images(source, "train", "small", 1, size=(20, 16))
    (source / "train" / "cat" / "broken.jpg").write_bytes(b"no image")
    plan = planned(source, tmp_path, name="pets", shorter_side=32)
    assert preparation.write(plan, jobs=1) == ["cat/broken.jpg: not an image that Pillow can read"]
    assert (plan.directory / preparation.UNREADABLE).read_text().startswith("cat/broken.jpg: ")
    examples = {example["file_name"].decode(): example["image"] for example in stored(plan.directory, "train")}
    assert Image.open(io.BytesIO(examples["0.jpg"])).size == (48, 32)
    small = next(member for member in plan.splits["train"] if member.label == "small")
    assert examples[small.name] == next(members.read([small]))


@pytest.mark.slow
def test_processes_write_the_same_files(imagenet, tmp_path, monkeypatch):
    monkeypatch.setattr(members, "SHARD_BYTES", 4_000)
    one, two = (planned(imagenet, tmp_path / name) for name in ("one", "two"))
    preparation.write(one, jobs=1)
    preparation.write(two, jobs=2)
    assert sorted(file.name for file in one.directory.iterdir()) == sorted(
        file.name for file in two.directory.iterdir()
    )
    assert len(list(two.directory.iterdir())) > 5
    for split in two.splits:
        assert stored(one.directory, split) == stored(two.directory, split)
