"""Images in tars of WebDataset and in saved datasets of Hugging Face."""

import io
import json
import tarfile

import pyarrow as pa
import pytest
import tensorflow_datasets as tfds

from senet_jax.commands.command_line import main
from senet_jax.data import members, standard_sets

NAMES = ["cat", "ant", "bee"]


def write_tar(path, samples):
    """Writes a tar whose samples are bytes by extension, by key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as file:
        for key, parts in samples.items():
            for extension, data in parts.items():
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))


def write_saved(folder, labels, *, images=None, compression=None, features=None):
    """Writes a dataset with the files of `Dataset.save_to_disk`, in batches of two rows."""
    folder.mkdir(parents=True)
    kinds = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": NAMES}}
    files = [{"filename": "data-00000-of-00001.arrow"}]
    (folder / "dataset_info.json").write_text(json.dumps({"features": kinds if features is None else features}))
    (folder / "state.json").write_text(json.dumps({"_data_files": files, "_split": None}))
    images = [b"image %d" % row for row in range(len(labels))] if images is None else images
    rows = pa.table(
        {
            "image": pa.array(
                [{"bytes": data, "path": f"folder/{row}.jpg"} for row, data in enumerate(images)],
                pa.struct({"bytes": pa.binary(), "path": pa.string()}),
            ),
            "label": pa.array(labels, pa.int64()),
        }
    )
    options = pa.ipc.IpcWriteOptions(compression=compression)
    path = str(folder / files[0]["filename"])
    with pa.OSFile(path, "wb") as file, pa.ipc.new_stream(file, rows.schema, options=options) as stream:
        stream.write_table(rows, max_chunksize=2)


def contents(found):
    """Returns class, name and bytes of each file."""
    return [(each.label, each.name, data) for each, data in zip(found, members.read(found), strict=True)]


def test_tars_of_webdataset(tmp_path):
    (tmp_path / "classnames.txt").write_text("cat\nant\nbee\n")
    for shard in (0, 1):
        write_tar(tmp_path / f"my-train-{shard:06d}.tar", {f"a/{shard}{row}": sample(row) for row in range(3)})
    write_tar(tmp_path / "test/0.tar", {"0": sample(2), "1": sample(0), "2": sample(1)})
    _, names, splits = standard_sets.find("mine", tmp_path)
    assert names == NAMES
    assert contents(splits["train"])[3:] == [("cat", "10.jpg", b"0"), ("ant", "11.jpg", b"1"), ("bee", "12.jpg", b"2")]
    assert contents(splits["test"])[0] == ("bee", "0.jpg", b"2")


def test_splits_of_tars(tmp_path):
    files = "my-train-0-of-2", "my-train-1-of-2", "my_test2-0", "val.0", "extra/x"
    for file in files:
        write_tar(tmp_path / f"{file}.tar", {"k": sample(0)})
    _, _, splits = standard_sets.find("mine", tmp_path)
    assert {split: len(found) for split, found in splits.items()} == {"extra": 1, "train": 2, "test2": 1, "val": 1}
    write_tar(tmp_path / "more.tar", {"k": sample(0)})
    with pytest.raises(ValueError, match=r"has more\.tar, which is not named as \*<split>-<number>\.tar"):
        standard_sets.find("mine", tmp_path)


def test_compressed_tars_and_hidden_files(tmp_path):
    write_tar(tmp_path / "train-0.tar", {"a": sample(0), "._a": sample(0)})
    assert len(standard_sets.find("mine", tmp_path)[2]["train"]) == 1
    (tmp_path / "train-1.tar.gz").touch()
    with pytest.raises(ValueError, match=r"has train-1\.tar\.gz, which is compressed; unpack it to a \.tar first"):
        standard_sets.find("mine", tmp_path)


def test_a_split_without_a_class_needs_partial(tmp_path):
    write_tar(tmp_path / "train-0.tar", {"a": sample(0), "b": sample(1)})
    write_tar(tmp_path / "val-0.tar", {"a": sample(0)})
    with pytest.raises(ValueError, match=r"split 'val' lacks the classes 1; .* or give --partial"):
        standard_sets.find("mine", tmp_path)
    _, names, splits = standard_sets.find("mine", tmp_path, partial=True)
    assert (names, len(splits["val"])) == (["0", "1"], 1)


def test_names_that_are_there_twice_are_refused(tmp_path):
    (tmp_path / "classnames.txt").write_text("cat\nant\ncat\n")
    write_tar(tmp_path / "train-0.tar", {"k": sample(0)})
    with pytest.raises(ValueError, match=r"classnames\.txt has a name twice: cat; each"):
        standard_sets.find("mine", tmp_path)
    (tmp_path / "classnames.txt").write_text("cat\nant\n\n")
    with pytest.raises(ValueError, match=r"line 3 of .*classnames\.txt is blank; it must have the name of class 2"):
        standard_sets.find("mine", tmp_path)
    (tmp_path / "classnames.txt").unlink()
    with tarfile.open(tmp_path / "train-0.tar", "a") as file:
        file.addfile(tarfile.TarInfo("k.JPG"), io.BytesIO())
    with pytest.raises(ValueError, match=r"train-0\.tar has 'k\.JPG' twice; each sample"):
        standard_sets.find("mine", tmp_path)


def sample(label):
    return {"jpg": b"%d" % label, "cls": b"%d" % label, "json": b"{}"}


@pytest.mark.parametrize(("labels", "names"), [(range(11), [str(label) for label in range(11)]), ("ba", ["a", "b"])])
def test_names_of_classes_without_a_list(tmp_path, labels, names):
    write_tar(tmp_path / "train-0.tar", {f"{row}": {"png": b"x", "cls": str(row).encode()} for row in labels})
    assert standard_sets.find("mine", tmp_path)[1] == names


def test_names_that_are_there_twice_get_numbers(tmp_path):
    for shard in (0, 1):
        write_tar(tmp_path / f"train-{shard}.tar", {"0": sample(0)})
    _, _, splits = standard_sets.find("mine", tmp_path)
    assert [each.name for each in splits["train"]] == ["00000000-0.jpg", "00000001-0.jpg"]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"jpg": b"x"}, "sample 'k' has jpg; it must have a .cls and one image"),
        ({"cls": b"0", "txt": b"x"}, "sample 'k' has cls, txt; it must"),
        ({"cls": b"\n", "jpg": b"x"}, "the .cls beside k.jpg has ''; it must have one class in one line"),
        ({"cls": b"7", "jpg": b"x"}, "classnames.txt has 1 names; .* has the class 7, which needs 8"),
    ],
)
def test_wrong_samples_are_named(tmp_path, parts, message):
    (tmp_path / "classnames.txt").write_text("cat\n")
    write_tar(tmp_path / "train-0.tar", {"k": parts})
    with pytest.raises(ValueError, match=message):
        standard_sets.find("mine", tmp_path)


def test_saved_datasets(tmp_path):
    write_saved(tmp_path / "train", [0, 1, 2, 1, 0])
    write_saved(tmp_path / "test", [2, 1, 0])
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    _, names, splits = standard_sets.find("mine", tmp_path)
    assert names == NAMES
    assert [(label, data) for label, _, data in contents(splits["train"])] == [
        (NAMES[label], b"image %d" % row) for row, label in enumerate([0, 1, 2, 1, 0])
    ]
    assert contents(splits["test"])[0] == ("bee", "0.jpg", b"image 0")
    _, _, alone = standard_sets.find("mine", tmp_path / "train")
    assert list(alone) == ["train"]
    main(f"prepare --dataset=mine --source={tmp_path} --data_dir={tmp_path} --jobs=1".split())
    builder = tfds.builder("mine", data_dir=tmp_path)
    assert builder.info.splits["train"].num_examples == 5
    assert (tmp_path / "mine/1.0.0/label.labels.txt").read_text().split() == NAMES


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": [0, -1]}, "has rows without the bytes of an image, or without a class"),
        ({"labels": [0, 1], "images": [b"x", None]}, "has rows without the bytes of an image"),
        (
            {"labels": [0], "features": {"image": {"_type": "Image"}}},
            "no column of type ClassLabel; its columns are image",
        ),
        ({"labels": [0, 1, 2], "images": [b"x" * 4096] * 3, "compression": "zstd"}, "is compressed"),
    ],
)
def test_saved_datasets_without_images_or_classes(tmp_path, settings, message):
    write_saved(tmp_path / "set", **settings)
    with pytest.raises(ValueError, match=message):
        standard_sets.find("mine", tmp_path / "set")


@pytest.mark.parametrize("left", [1, 700])
@pytest.mark.parametrize("name", ["state.json", "dataset_info.json", "data-00000-of-00001.arrow"])
def test_damaged_files_of_a_saved_dataset_are_named(tmp_path, name, left):
    write_saved(tmp_path / "set", [0, 1, 2])
    file = tmp_path / "set" / name
    file.write_bytes(file.read_bytes()[: min(left, file.stat().st_size - 1)])
    with pytest.raises(ValueError, match=f"{name} cannot be read"):
        standard_sets.find("mine", tmp_path / "set")


def test_parquet_says_how_it_is_saved(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train-00000.parquet").write_bytes(b"")
    with pytest.raises(ValueError, match="save_to_disk"):
        standard_sets.find("mine", tmp_path)
