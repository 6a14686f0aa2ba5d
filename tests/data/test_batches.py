import dataclasses
import itertools
import json
from collections import Counter

import numpy as np
import pytest
import simplejpeg
from pictures import saved
from PIL import Image

from senet_jax import data
from senet_jax.config import DataConfig
from senet_jax.data import images
from senet_jax.data.bad_images import BadImages, TooManyBadImagesError
from senet_jax.data.batches import loader
from senet_jax.data.split import Split
from senet_jax.files import read_records, write_records

MODES = {"memory": {}, "threads": {"memory_limit_gib": 0.0}, "processes": {"memory_limit_gib": 0.0, "workers": 2}}
AUGMENTED = {
    "random_resized_crop": True,
    "rotation": 10.0,
    "rand_augment": 7.0,
    "color_jitter": 0.4,
    "pixel_jitter": 20,
    "random_erasing": 0.5,
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory, write_images):
    root = tmp_path_factory.mktemp("photos")
    for split, count in (("train", 9), ("test", 3)):
        for label in ("cat", "dog"):
            write_images(root, split, label, count, size=(48, 40), suffix="jpg")
    config = DataConfig(name="folder", path=str(root), data_dir=str(root / ".prepared"), image_size=16, center_crop=0.8)
    return data.open_dataset(config), config


def take(batches, count):
    try:
        return list(itertools.islice(batches, count))
    finally:
        batches.close()


def assert_equal(actual, expected):
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            assert one[name].dtype == other[name].dtype
            np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "crop"), [(mode, crop) for mode in MODES for crop in (False, True) if crop or mode != "processes"]
)
def test_resumes_exactly_however_it_is_read(photos, mode, crop):
    opened, config = photos
    config = dataclasses.replace(config, **(AUGMENTED if crop else {}))
    whole = take(data.train_batches(opened.train, config, batch_size=4, seed=3), 12)
    config = dataclasses.replace(config, **MODES[mode])
    for start in (0, 5) if mode != "processes" else (5,):
        rest = take(data.train_batches(opened.train, config, batch_size=4, seed=3, start=start), 12 - start)
        assert_equal(rest, whole[start:])
    images = [image.tobytes() for batch in whole for image in batch["image"]]
    assert (sorted(images[:18]) == sorted(images[18:36])) == (not crop)  # Each epoch of 18 draws changes of its own.
    assert {name: (value.shape, value.dtype.name) for name, value in whole[0].items()} == {
        "image": ((4, 16, 16, 3), "uint8"),
        "label": ((4,), "int32"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["threads", "processes"])
def test_evaluation_is_the_same_however_it_is_read(photos, mode):
    opened, config = photos
    streamed = dataclasses.replace(config, **MODES[mode])
    expected = list(data.evaluation_batches(opened.test, config, batch_size=4))
    assert_equal(list(data.evaluation_batches(opened.test, streamed, batch_size=4)), expected)


@pytest.mark.parametrize("process_count", [2, 4])
def test_processes_share_the_global_batches(digits, digits_config, process_count):
    for make, options in (
        (data.train_batches, {"batch_size": 8, "seed": 0}),
        (data.evaluation_batches, {"batch_size": 8}),
    ):
        whole = take(make(digits.test, digits_config, **options), 50)
        parts = [
            take(make(digits.test, digits_config, process_index=index, process_count=process_count, **options), 50)
            for index in range(process_count)
        ]
        steps = zip(*parts, strict=True)
        joined = [{name: np.concatenate([part[name] for part in step]) for name in step[0]} for step in steps]
        assert_equal(joined, whole)


def test_every_epoch_has_every_example_once_in_another_order(digits, digits_config):
    examples, batch_size = len(digits.test), 50
    batches = take(data.train_batches(digits.test, digits_config, batch_size=batch_size, seed=0), 3 * examples // 50)
    stream = [image.tobytes() for batch in batches for image in batch["image"]]
    first, second = stream[:examples], stream[examples : 2 * examples]
    assert first != second
    assert sorted(first) == sorted(second) == sorted(image.tobytes() for image in digits.test.decoded(8, 1.0)[0])


@pytest.mark.slow
@pytest.mark.parametrize("memory", [1.0, 0.0])
def test_copies_of_an_image_follow_one_another_and_are_changed_differently(photos, memory):
    opened, config = photos
    config = dataclasses.replace(config, memory_limit_gib=memory, random_resized_crop=not memory)
    once = take(data.train_batches(opened.train, config, batch_size=18, seed=3), 2)
    config.repeats = 3
    batches = take(data.train_batches(opened.train, config, batch_size=6, seed=3), 6)
    for epoch in (0, 1):
        first, *_ = copies = [np.concatenate([b["image"][k::3] for b in batches[3 * epoch :][:3]]) for k in range(3)]
        np.testing.assert_array_equal(first, once[epoch]["image"][:6])
        changed = [(copy != first).any((1, 2, 3)).all() for copy in copies]
        assert changed == [False, not memory, not memory]
        labels = [np.concatenate([b["label"][k::3] for b in batches[3 * epoch :][:3]]) for k in range(3)]
        np.testing.assert_array_equal(labels, [once[epoch]["label"][:6]] * 3)
    part = take(data.train_batches(opened.train, config, batch_size=6, seed=3, process_index=1, process_count=2), 6)
    np.testing.assert_array_equal([b["image"] for b in part], [b["image"][3:] for b in batches])


class Files(list):
    def __getitems__(self, keys):
        return [{"image": self[key], "label": 0} for key in keys]


def test_only_files_that_were_decoded_whole_are_decoded_in_part(monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (96, 64, 3), np.uint8)
    intact = saved(Image.fromarray(noise))
    config = DataConfig(image_size=16, random_resized_crop=True, mean=(0.5,))
    split = Split("train", Files([intact, intact[:-400] + intact[-2:]]), 1, 3)
    heights, shortest, decode = [], 96, simplejpeg.decode_jpeg

    def note(data, *arguments, **options):
        pixels = decode(data, *arguments, **options)
        heights.append(pixels.shape[0] * options.get("min_factor", 1))
        return pixels

    monkeypatch.setattr(simplejpeg, "decode_jpeg", note)
    load = loader(split, config, seed=0)
    for epoch in range(8):
        draws = np.array([[epoch, 0]] * 2)
        found = load(np.arange(2), draws)
        assert found[2].tolist() == [False, True]  # Wherever the crop is.
        decoded = heights.pop()
        assert epoch > 0 or decoded == 96
        shortest = min(shortest, decoded)
        np.testing.assert_array_equal(found[0], loader(split, config, seed=0)(np.arange(2), draws)[0])
        assert heights.pop() == 96
    assert shortest < 96


def test_seeds_differ(digits, digits_config):
    first, again, other = (
        next(data.train_batches(digits.train, digits_config, batch_size=64, seed=seed)) for seed in (0, 0, 1)
    )
    assert_equal([first], [again])
    assert not np.array_equal(first["image"], other["image"])


def test_seeds_crop_differently(photos):
    opened, config = photos
    config = dataclasses.replace(config, random_resized_crop=True, memory_limit_gib=0.0)
    first, again, other = (
        loader(opened.train, config, seed)(np.arange(4), np.zeros((4, 2), int)) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first[0], again[0])
    assert (first[0] != other[0]).any((1, 2, 3)).all()


@pytest.mark.parametrize("batch_size", [1, 7, 359, 360, 1000])
def test_evaluation_pads_and_masks_the_last_batch(digits, digits_config, batch_size):
    batches = list(data.evaluation_batches(digits.test, digits_config, batch_size=batch_size))
    images, labels, _ = digits.test.decoded(8, 1.0)
    assert len(batches) == -(-359 // batch_size)
    assert all(batch["image"].shape == (batch_size, 8, 8, 1) for batch in batches)
    together = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    assert together["mask"].dtype == bool
    np.testing.assert_array_equal(together["mask"], np.arange(len(together["mask"])) < 359)
    np.testing.assert_array_equal(together["image"][:359], images)
    np.testing.assert_array_equal(together["label"][:359], labels)
    assert not together["image"][359:].any()
    assert not together["label"][359:].any()


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1.0, 0.0])
def test_a_process_without_examples_gets_masked_batches_too(photos, limit):
    opened, config = photos
    config = dataclasses.replace(config, memory_limit_gib=limit)
    first, last = (
        list(data.evaluation_batches(opened.test, config, batch_size=64, process_index=index, process_count=2))
        for index in (0, 1)
    )
    assert [len(batches) for batches in (first, last)] == [1, 1]
    assert first[0]["mask"].sum() == 6
    assert not last[0]["mask"].any()


def test_uneven_shares_are_refused(digits, digits_config):
    with pytest.raises(ValueError, match=r"a batch of 10 cannot be split evenly over 4 process\(es\)"):
        data.train_batches(digits.train, digits_config, batch_size=10, seed=0, process_count=4)
    with pytest.raises(ValueError, match="process_index is 2; it must be one of 0 to 1"):
        data.evaluation_batches(digits.train, digits_config, batch_size=10, process_index=2, process_count=2)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory, write_images):
    """Class folders with three bad images to train on, and one to test on."""
    root = tmp_path_factory.mktemp("damaged")
    for split, count in (("train", 9), ("test", 3)):
        for label in ("cat", "dog"):
            write_images(root, split, label, count, size=(48, 40), suffix="jpg")
    (root / "train/cat/0.jpg").write_bytes(b"")
    (root / "train/cat/1.jpg").write_text("<html>404</html>")
    for path in (root / "train/dog/2.jpg", root / "test/dog/2.jpg"):
        path.write_bytes(path.read_bytes()[:-100])
    config = DataConfig(name="folder", path=str(root), data_dir=str(root / ".prepared"), image_size=16, bad_images=0.2)
    return data.open_dataset(config), config


@pytest.mark.parametrize("mode", ["memory", "threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_bad_images_are_named_and_replaced_by_the_same_others_however_they_are_read(damaged, mode, tmp_path):
    opened, config = damaged
    file, said = tmp_path / "bad.jsonl", []
    streamed = dataclasses.replace(config, **MODES[mode])
    bad = BadImages(0.2, file, said.append)
    whole = take(data.train_batches(opened.train, config, batch_size=6, seed=3, bad=BadImages(0.2)), 9)
    assert_equal(take(data.train_batches(opened.train, streamed, batch_size=6, seed=3, bad=bad), 9), whole)
    if mode != "processes":  # Their start costs a second, and another test resumes with them.
        resumed = take(data.train_batches(opened.train, streamed, batch_size=6, seed=3, start=4, bad=bad), 5)
        assert_equal(resumed, whole[4:])
    named = [json.loads(line) for line in file.read_text().splitlines()]
    assert {record["file"] for record in named} == {"cat/0.jpg", "cat/1.jpg", "dog/2.jpg"}
    assert len(named) == len(said) == bad.count(opened.train) == 3
    assert BadImages(0.2, file).count(opened.train) == 3
    file.write_text(file.read_text()[:-5])  # A kill cuts the last line short.
    BadImages(0.2, file, said.append).note(opened.train, [record["index"] for record in named])
    assert BadImages(0.2, file).count(opened.train) == 3

    pixels, labels, faulty = opened.train.decoded(16, 1.0)
    good = {(image.tobytes(), label) for image, label in zip(pixels[~faulty], labels[~faulty], strict=True)}
    stream = [(i.tobytes(), k) for batch in whole for i, k in zip(batch["image"], batch["label"], strict=True)]
    assert set(stream) == good
    chosen = [Counter(stream[epoch : epoch + 18]) - Counter(good) for epoch in (0, 18, 36)]
    assert [sum(epoch.values()) for epoch in chosen] == [3, 3, 3]
    assert chosen[0] != chosen[1]


def test_evaluation_leaves_bad_images_out(damaged):
    opened, config = damaged
    for mode in ("memory", "threads"):
        streamed = dataclasses.replace(config, **MODES[mode])
        bad = BadImages(0.2)
        batches = list(data.evaluation_batches(opened.test, streamed, batch_size=4, bad=bad))
        assert sum(batch["mask"].sum() for batch in batches) == len(opened.test) - bad.count(opened.test) == 5


def test_more_bad_images_than_allowed_end_the_batches(damaged, tmp_path):
    opened, config = damaged
    file = tmp_path / "bad.jsonl"
    message = r"3 of the 18 images of split 'train' cannot be read, .*bad_images, 0.1; they are named in .*bad.jsonl"
    with pytest.raises(TooManyBadImagesError, match=message):
        data.train_batches(opened.train, config, batch_size=6, seed=0, bad=BadImages(0.1, file))
    threads = dataclasses.replace(config, memory_limit_gib=0.0)
    with pytest.raises(TooManyBadImagesError, match=r"of the 18 images of split 'train' cannot be read"):
        take(data.train_batches(opened.train, threads, batch_size=6, seed=0, bad=BadImages(0.1)), 3)


def test_images_that_can_be_read_again_are_forgotten(damaged, tmp_path):
    opened, config = damaged
    file = tmp_path / "bad.jsonl"
    bad = np.flatnonzero(opened.train.decoded(16, 1.0).bad).tolist()
    good = [index for index in range(len(opened.train)) if index not in bad]
    records = [
        {"split": split, "index": index, "file": "", "fault": ""} for split in ("train", "test") for index in good
    ]
    write_records(file, records)
    known = BadImages(0.2, file)
    known.forget_repaired(opened.train)
    take(data.train_batches(opened.train, config, batch_size=6, seed=0, bad=known), 3)
    assert sorted(record["index"] for record in read_records(file) if record["split"] == "train") == bad
    assert [record["index"] for record in read_records(file) if record["split"] == "test"] == good


def test_the_bad_images_of_all_processes_are_counted_together(damaged, tmp_path):
    opened, _ = damaged
    file = tmp_path / "bad.jsonl"
    first, second = (BadImages(0.12, file, process=number) for number in (0, 1))
    names = opened.train.names(range(len(opened.train)))
    bad = [names.index(name) for name in ("cat/0.jpg", "cat/1.jpg", "dog/2.jpg")]
    first.note(opened.train, bad[:1])
    second.note(opened.train, bad[:2])  # In another epoch, the first is in the second's part.
    assert second.count(opened.train) == 2
    assert len((tmp_path / "bad_1.jsonl").read_text().splitlines()) == 1
    with pytest.raises(TooManyBadImagesError, match=r"3 of the 18 images .* named in \S*bad.jsonl, \S*bad_1.jsonl"):
        first.note(opened.train, bad[2:])
    assert BadImages(0.2, file).count(opened.train) == 3


def test_center_crop_takes_the_centre_of_the_resized_image():
    ramp = Image.fromarray(np.tile(np.arange(0, 120, dtype=np.uint8), (60, 1)))
    np.testing.assert_array_equal(images.center_crop(ramp, 60)[0, :, 0], np.arange(30, 90))
    np.testing.assert_array_equal(images.center_crop(ramp, 30, 0.5)[0, :, 0], np.arange(45, 75))
    assert images.center_crop(ramp, 7, 0.875).shape == (7, 7, 1)
