import dataclasses
import fcntl
import gc
import hashlib
import os
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from senet_jax import data
from senet_jax.data.folder import Folder, folder_builder


def prepared(config):
    return sorted(path.parent.name for path in Path(config.data_dir).glob("folder/*/1.1.0"))


def test_bytes_pass_through_untouched(folder, folder_config, write_images):
    shutil.rmtree(folder)
    for split in ("train", "test"):
        write_images(folder, split, "cat", 3, suffix="jpg")
        write_images(folder, split, "dog", 3, suffix="webp")
    opened = data.open_dataset(folder_config)
    examples = opened.train.source.__getitems__(range(6))
    files = {(path.read_bytes(), ["cat", "dog"].index(path.parent.name)) for path in folder.glob("train/*/*")}
    assert {(example["image"], int(example["label"])) for example in examples} == files
    assert opened.class_names == ("cat", "dog")


def test_an_unchanged_folder_is_reused_and_a_changed_one_prepared_anew(folder, folder_config):
    data.open_dataset(folder_config)
    first = prepared(folder_config)
    (folder / "train" / "cat" / ".DS_Store").touch()
    data.open_dataset(folder_config)
    assert prepared(folder_config) == first
    os.utime(folder / "train" / "cat" / "0.png", (1, 1))
    data.open_dataset(folder_config)
    assert len(prepared(folder_config)) == 2
    (folder / "train" / "cat" / "5.png").unlink()
    assert len(data.open_dataset(folder_config).train) == 11


def test_a_large_folder_is_packed_in_shards_in_the_order_of_one(folder_config, monkeypatch):
    one = data.open_dataset(folder_config).train
    monkeypatch.setattr("senet_jax.data.members.SHARD_BYTES", 1000)
    several = data.open_dataset(dataclasses.replace(folder_config, data_dir=folder_config.data_dir + "2")).train
    shards = list(Path(folder_config.data_dir + "2").glob("folder/*/1.1.0/*-train.array_record-*"))
    assert len(shards) > 2
    assert several.names(range(12)) == one.names(range(12)) != sorted(one.names(range(12)))
    keys = {name: hashlib.md5(f"train{name}".encode()).digest() for name in one.names(range(12))}
    assert one.names(range(12)) == sorted(keys, key=keys.__getitem__)  # As TFDS shuffles by itself.
    assert several.source.__getitems__(range(12)) == one.source.__getitems__(range(12))


def test_one_process_packs_and_the_others_wait(folder_config, capsys):
    place = Path(folder_builder(folder_config.path, ["train", "test"], folder_config.data_dir).data_dir)
    place.parent.mkdir(parents=True)
    with (place.parent / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        threading.Timer(0.2, held.close).start()
        data.open_dataset(folder_config)
    assert f"waits for another process that prepares {place}\n" in capsys.readouterr().err


def test_no_builder_keeps_the_listing_of_a_packed_folder(folder_config):
    data.open_dataset(folder_config)
    data.open_dataset(folder_config)
    data.preview(folder_config)
    folders = [found for found in gc.get_objects() if isinstance(found, Folder)]
    builders = [found for found in folders if str(found.data_dir).startswith(folder_config.data_dir)]
    assert len(builders) > 1
    assert not any(found.builder_config.splits for found in builders)


def test_place_and_room_are_looked_at_before_the_images(folder_config, tmp_path, monkeypatch):
    monkeypatch.setattr("senet_jax.data.images.read", None)
    (tmp_path / "file").touch()
    with pytest.raises(
        ValueError, match=r"--config.data.data_dir: the place of dataset 'folder', .* cannot be written"
    ):
        data.open_dataset(dataclasses.replace(folder_config, data_dir=str(tmp_path / "file" / "data")))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    message = r"folder/pets-\w+/1.1.0 needs 0.0 GiB and its disk has 0.0; give another --config.data.data_dir"
    with pytest.raises(ValueError, match=message):
        data.open_dataset(folder_config)
    assert not prepared(folder_config)
    monkeypatch.undo()
    monkeypatch.setattr("shutil.disk_usage", None)
    assert data.preview(folder_config) == (2, 3, False)  # It writes nothing.


def test_slices_of_splits(folder_config):
    folder_config.train_split, folder_config.test_split = "train[:75%]", "train[75%:]+test"
    opened = data.open_dataset(folder_config)
    assert (len(opened.train), len(opened.test)) == (9, 7)


def test_images_are_grey_if_all_files_are(folder, folder_config, write_images):
    shutil.rmtree(folder)
    for split in ("train", "test"):
        write_images(folder, split, "cat", 2, mode="L")
    assert data.preview(folder_config)[1:] == (1, False)
    assert data.open_dataset(folder_config).channels == 1
    assert data.preview(folder_config)[1:] == (1, True)
    for mode in ("RGBA", "CMYK"):
        write_images(folder, "train", "cat", 1, mode=mode, suffix="tiff")
        opened = data.open_dataset(folder_config)
        assert opened.channels == 3
        assert opened.train.decoded(8, 1.0)[0].shape == (3, 8, 8, 3)


def nest(root):
    shutil.copytree(root / "train" / "dog", root / "train" / "cat" / "tabby")


def put_text(root):
    (root / "train" / "README.txt").touch()


def empty(root):
    for path in (root / "train" / "cat").iterdir():
        path.unlink()


def break_seven(root):
    for index in range(6):
        path = root / "train" / "cat" / f"{index}.png"
        path.write_bytes(path.read_bytes()[:100])
    (root / "test" / "dog" / "0.png").write_text("no image")


def deepen(root):
    Image.fromarray(np.zeros((8, 8), np.int32)).save(root / "train" / "cat" / "0.png", "TIFF")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            shutil.rmtree,
            r"config.data.path is '.*pets', which does not exist; give one that holds <split>",
        ),
        (lambda root: (shutil.rmtree(root), root.touch()), "pets', which is not a directory"),
        (
            lambda root: (root / "test").rename(root / "val"),
            r"no split directory 'test'; it has 'train', 'val': .* --config.data.train_split or --config.data.test",
        ),
        (empty, r"class folder .*train.cat has no image; put some into it"),
        (
            lambda root: [file.rename(file.with_suffix(".heic")) for file in (root / "train" / "dog").iterdir()],
            r"class folder .*train.dog has no image that can be read, but files of .heic; put some into it",
        ),
        (lambda root: shutil.rmtree(root / "test" / "dog"), r"test has no class dog, which another split has"),
        (
            lambda root: shutil.copytree(root / "test" / "dog", root / "test" / "emu"),
            r"train has no class emu, .* 'test' and 'train' must have",
        ),
        (nest, r"cat.tabby is a directory inside a class folder; put its images into .*cat itself"),
        (
            lambda root: [(root / split / "dog").rename(root / split / "dog ") for split in ("train", "test")],
            "the name of class folder '.*dog ' begins or ends with a space, or has several lines; rename it",
        ),
        (
            lambda root: [(root / split / "dog").rename(root / split / "a\ndog") for split in ("train", "test")],
            "the name of class folder '.*a.ndog' begins or ends with a space, or has several lines; rename it",
        ),
        (
            lambda root: (root / "test").rename(root / "test.v2"),
            r"no split directory 'test'; it has 'test.v2', 'train': .*; names of splits are .*: rename 'test.v2'",
        ),
        (put_text, r"README.txt is not a class folder"),
        (
            lambda root: [shutil.rmtree(path) for path in root.glob("test/*")],
            "test has no class folders; images belong",
        ),
        (
            break_seven,
            r"6 of the 12 files in .*pets/train cannot be used: .*0.png \((not an image that Pillow|a broken image: )"
            r".* and 1 more; repair or remove",
        ),
        (deepen, r"1 of the 12 files .*cat.0.png \(an image of mode I, which has more than 16 bits a channel\)"),
    ],
)
def test_faults_are_named_and_can_be_repaired(folder, folder_config, damage, message):
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    damage(folder)
    with pytest.raises(ValueError, match=message):
        data.open_dataset(folder_config)
    assert not prepared(folder_config)
    shutil.rmtree(folder) if folder.is_dir() else folder.unlink(missing_ok=True)
    kept.rename(folder)
    assert len(data.open_dataset(folder_config).train) == 12


def test_a_few_bad_files_are_allowed_and_named(folder, folder_config, capsys):
    break_seven(folder)
    folder_config.bad_images = 0.5
    opened = data.open_dataset(folder_config)
    said = capsys.readouterr().err
    assert "6 of the 12 files in" in said
    assert "1 of the 4 files in" in said
    assert (len(opened.train), opened.channels) == (12, 3)
    faults = dict(opened.train.fault(index) for index in range(12))
    assert {name for name, fault in faults.items() if fault} == {f"cat/{index}.png" for index in range(6)}


def test_a_pipe_is_no_image(folder, folder_config, capsys):
    (folder / "train" / "cat" / "0.png").unlink()
    os.mkfifo(folder / "train" / "cat" / "0.png")
    folder_config.bad_images = 0.5
    data.open_dataset(folder_config)
    assert "cat/0.png (it is no file)" in capsys.readouterr().err


def test_data_are_known_by_names_and_contents(folder, folder_config, write_images):
    first = data.open_dataset(folder_config).fingerprint
    for path in folder.rglob("*.png"):
        os.utime(path, (1, 1))
    assert data.open_dataset(folder_config).fingerprint == first
    write_images(folder, "train", "cat", 6, seed=1)
    second = data.open_dataset(folder_config).fingerprint
    assert first.keys() == second.keys() == {"dataset", "train", "test", "sha256"}
    assert first["sha256"] != second["sha256"]
    assert first["test"] == second["test"]


def test_names_that_are_not_utf_8(folder, folder_config):
    odd = folder / "train" / "cat" / os.fsdecode(b"\xff.png")
    (folder / "train" / "cat" / "0.png").rename(odd)
    assert len(data.open_dataset(folder_config).train) == 12
    (folder / "train" / "cat").rename(folder / "train" / os.fsdecode(b"\xff"))
    with pytest.raises(ValueError, match="is not UTF-8; rename it"):
        data.open_dataset(folder_config)


def test_a_preparation_that_is_interrupted_leaves_nothing_that_looks_prepared(folder_config, monkeypatch):
    def interrupt(self, *_):
        yield "cat/0.png", {"image": b"", "label": "cat", "file_name": "cat/0.png", "fault": ""}
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "_examples", interrupt)
        with pytest.raises(KeyboardInterrupt):
            data.open_dataset(folder_config)
    assert not prepared(folder_config)
    (place,) = Path(folder_config.data_dir, "folder").iterdir()
    parts = [place / f"incomplete.{name}_1.1.0" for name in ("OLD", "NEW")]
    for part in parts:  # As processes leave it that are killed.
        part.mkdir()
        (part / "shard").touch()
    assert len(data.open_dataset(folder_config).train) == 12
    for path in (parts[0], parts[0] / "shard"):
        os.utime(path, (0, 0))
    another = dataclasses.replace(folder_config, test_split="train")  # Its preparation has another name.
    for other in (another, folder_config):
        data.open_dataset(other)
        assert [part.exists() for part in parts] == [False, True]


def test_files_that_end_like_no_image_are_left_out(folder, folder_config, capsys):
    before = data.open_dataset(folder_config).train
    capsys.readouterr()
    (folder / "train" / "cat" / "notes.TXT").touch()
    (folder / "train" / "cat" / "._0.png").touch()
    assert len(data.open_dataset(folder_config).train) == len(before)
    assert capsys.readouterr().err == ""  # Nothing else has changed, and nothing is packed anew.
    (folder / "train" / "cat" / "0.png").rename(folder / "train" / "cat" / "0")
    assert len(data.open_dataset(folder_config).train) == len(before)
    assert capsys.readouterr().err.count("files that end like no image are left out: ") == 1


def test_files_are_checked_once_before_they_are_packed(folder, folder_config, capsys):
    (folder / "train" / "cat" / "notes.TXT").touch()
    data.preview(folder_config)
    data.open_dataset(folder_config)
    assert capsys.readouterr().err.count("left out") == 1


def test_a_link_to_nothing_is_a_fault_that_is_named(folder, folder_config):
    (folder / "train" / "cat" / "gone.png").symlink_to(folder / "nothing.png")
    with pytest.raises(ValueError, match=r"cannot be used: .*gone.png \(.*No such file"):
        data.open_dataset(folder_config)


def test_a_file_that_the_disk_refuses_is_no_bad_image(folder, folder_config, monkeypatch):
    """Its name, size and time would stay as they are if it could be read again."""
    read = Path.read_bytes

    def refuse(path):
        if path == folder / "train" / "cat" / "0.png":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    folder_config.bad_images = 1.0
    with pytest.raises(ValueError, match=r"cat/0.png cannot be read \(Permission denied\); nothing is packed without"):
        data.open_dataset(folder_config)


def test_a_split_in_place_of_the_directory_of_splits_is_named(folder, folder_config):
    config = dataclasses.replace(folder_config, path=str(folder / "train"))
    with pytest.raises(ValueError, match=r"'test', but the directory above it has: give --config.data.path=.*pets$"):
        data.open_dataset(config)


def test_class_folders_without_splits_are_refused_with_the_way(folder, folder_config):
    photos = folder.parent / "photos"
    (folder / "train").rename(photos)
    (photos / "dog").rename(photos / "red dog")
    config = dataclasses.replace(folder_config, path=str(photos))
    message = r"photos has class folders and no splits; move them into .*photos/train, and if there are no others for"
    with pytest.raises(ValueError, match=message):
        data.open_dataset(config)
