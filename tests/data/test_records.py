import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from pictures import saved
from PIL import Image

from senet_jax import data
from senet_jax.data.records import Records


@pytest.mark.parametrize("size", [(8, 8), (100, 100)], ids=["small", "large"])
def test_examples_are_those_that_tfds_reads(folder, folder_config, write_images, size):
    write_images(folder, "train", "bear", 3, size=size)
    write_images(folder, "test", "bear", 1)
    source = data.open_dataset(folder_config).train.source
    assert isinstance(source, Records)
    builder = tfds.builder_from_directory(source.records.dataset_info.data_dir)
    theirs = builder.as_data_source("train", decoders={"image": tfds.decode.SkipDecoding()})
    order = np.random.default_rng(0).permutation(len(source)).tolist()
    assert len(theirs) == len(source) == 15
    for start in range(len(order)):  # The first one decides how they are read.
        assert source.__getitems__(order[start:]) == [theirs[index] for index in order[start:]]
    assert list(source.__getitems__([])) == []


class OneExample(list):
    def __getitems__(self, keys):
        return [self[key] for key in keys]


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ({"id": tfds.features.Scalar(np.int64)}, {"id": 7}),
        ({"file_name": tfds.features.Sequence(tfds.features.Text())}, {}),
        ({"more": tfds.features.Text()}, {}),
    ],
)
def test_features_of_other_types_do_not_spoil_an_example(texts, found):
    image, label = tfds.features.Image(encoding_format="png"), tfds.features.ClassLabel(num_classes=3)
    features = tfds.features.FeaturesDict({"image": image, "label": label} | texts)
    values = {"id": 7, "file_name": [], "more": "x"}
    png = io.BytesIO(saved(Image.new("RGB", (2, 2)), "PNG"))
    example = {"image": png, "label": 2} | {name: values[name] for name in texts}
    record = features.serialize_example(features.encode_example(example))
    (read,) = Records(OneExample([record])).__getitems__([0])
    assert read.pop("image").startswith(b"\x89PNG")
    assert read == {"label": 2} | found
