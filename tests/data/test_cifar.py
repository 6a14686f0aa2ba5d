import functools
import http.server
import io
import tarfile
import threading

import numpy as np
import pytest
import tensorflow_datasets as tfds

from senet_jax import data
from senet_jax.config import DataConfig
from senet_jax.data.cifar import Cifar10
from senet_jax.data.dataset import OWN

ROWS = np.random.default_rng(0).integers(0, 256, (7, 1 + 3072), np.uint8)
ROWS[:, 0] = np.arange(7)


@pytest.fixture
def cifar10_on_a_server(tmp_path, monkeypatch):
    """The seven images as TFDS's CIFAR-10, five to train, to be downloaded from this machine."""
    (tmp_path / "site").mkdir()
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    files = {"a.bin": ROWS[:3].tobytes(), "b.bin": ROWS[3:5].tobytes(), "t.bin": ROWS[5:].tobytes()}
    with tarfile.open(tmp_path / "site" / "cifar.tar.gz", "w:gz") as archive:
        for name, content in (files | {"batches.meta.txt": "\n".join([*classes, ""]).encode()}).items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "site")
    handler.log_message = lambda *args: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(Cifar10, "url", f"http://127.0.0.1:{server.server_port}/cifar.tar.gz")
    monkeypatch.setattr(Cifar10, "files", {"train": ["a.bin", "b.bin"], "test": ["t.bin"]})
    yield
    server.shutdown()
    server.server_close()


def test_cifar10_is_downloaded_and_prepared_without_tensorflow(cifar10_on_a_server, tmp_path):
    config = DataConfig(name="cifar10", data_dir=str(tmp_path / "data"), image_size=32)
    dataset = data.open_dataset(config)
    assert (len(dataset.train), len(dataset.test), dataset.channels) == (5, 2, 3)
    assert dataset.class_names[3] == "cat"
    for split, rows in ((dataset.train, ROWS[:5]), (dataset.test, ROWS[5:])):
        pixels, labels, _ = split.decoded(32, 1.0)
        order = np.argsort(labels)
        np.testing.assert_array_equal(labels[order], rows[:, 0])
        np.testing.assert_array_equal(pixels[order], rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    assert (tmp_path / "data" / "cifar10" / "3.0.2").is_dir()


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_datasets_are_those_of_tfds(name, tmp_path):
    ours, theirs = OWN[name](data_dir=tmp_path), tfds.builder(name, data_dir=tmp_path)
    assert ours.info.full_name == theirs.info.full_name
    assert ours.data_path == theirs.data_path
    assert repr(ours.info.features) == repr(theirs.info.features)
    assert theirs.url_infos is not None
    assert ours.url_infos is not None
    assert ours.url_infos[ours.url] == theirs.url_infos[ours.url]
