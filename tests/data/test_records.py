import numpy as np
import pytest
import tensorflow_datasets as tfds

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
