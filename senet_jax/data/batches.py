"""Batches of a split: for training without end and shuffled, for testing once and in order.

Every batch is a pure function of its number, so a stream can begin anywhere and be made by any number of workers.
"""

import functools
import gc
import os
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass

import grain
import numpy as np
from absl import flags

from senet_jax.config import DataConfig
from senet_jax.data import images
from senet_jax.data.dataset import Split

Batch = dict[str, np.ndarray]
_Batches = Generator[Batch, None, None]
_Load = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def train_batches(
    split: Split,
    config: DataConfig,
    *,
    batch_size: int,
    seed: int,
    start: int = 0,
    process_index: int = 0,
    process_count: int = 1,
) -> _Batches:
    """Shuffled batches without end: {"image": uint8 (b, image_size, image_size, c), "label": int32 (b,)}.

    Each epoch is a permutation of the split given by (seed, epoch), and the next one follows at once, if need be within
    a batch. The order is that of the global batches of `batch_size` examples: this process gets the process_index-th
    of process_count equal parts of each, b = batch_size / process_count. `start` is the number of batches already
    consumed: the stream is what an uninterrupted one gives from there on, however it is read.

    Close the generator to release the workers of a split that is not kept in memory. Raises ValueError where batch_size
    cannot be divided by process_count.
    """
    part = _part(batch_size, process_index, process_count)
    crop_seed = seed if config.random_resized_crop else None
    load = _loader(split, config, crop_seed)
    make = functools.partial(_train_batch, load, len(split), batch_size, part, seed)
    return _generate(make, start, sys.maxsize, config.workers if isinstance(load, _Decode) else None)


def evaluation_batches(
    split: Split,
    config: DataConfig,
    *,
    batch_size: int,
    process_index: int = 0,
    process_count: int = 1,
) -> _Batches:
    """Every example once, in order, in batches as `train_batches` gives them, with "mask": bool (b,) beside them.

    The last batch is padded with zeros, which the mask tells from examples; every process gets as many batches.
    Raises ValueError where batch_size cannot be divided by process_count.
    """
    part = _part(batch_size, process_index, process_count)
    load = _loader(split, config, None)
    make = functools.partial(_test_batch, load, len(split), batch_size, part)
    return _generate(make, 0, -(-len(split) // batch_size), config.workers if isinstance(load, _Decode) else None)


def _part(batch_size: int, process_index: int, process_count: int) -> range:
    """The places in a global batch that are this process's."""
    if batch_size < 1 or batch_size % process_count:
        raise ValueError(f"a batch of {batch_size} cannot be split evenly over {process_count} process(es)")
    if not 0 <= process_index < process_count:
        raise ValueError(f"process_index is {process_index}; it must be one of 0 to {process_count - 1}")
    size = batch_size // process_count
    return range(process_index * size, (process_index + 1) * size)


def _train_batch(load: _Load, examples: int, batch_size: int, part: range, seed: int, number: int) -> Batch:
    positions = number * batch_size + np.asarray(part)
    epochs = positions // examples
    indices = np.concatenate(
        [_permutation(examples, seed, int(epoch))[positions[epochs == epoch] % examples] for epoch in np.unique(epochs)]
    )
    pixels, labels = load(indices, positions)
    return {"image": pixels, "label": labels}


@functools.lru_cache(maxsize=4)
def _permutation(examples: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, 0, epoch)).permutation(examples)


def _test_batch(load: _Load, examples: int, batch_size: int, part: range, number: int) -> Batch:
    positions = number * batch_size + np.asarray(part)
    mask = positions < examples
    padding = len(part) - int(mask.sum())
    pixels, labels = load(positions[mask], positions[mask])
    return {
        "image": np.pad(pixels, ((0, padding), (0, 0), (0, 0), (0, 0))),
        "label": np.pad(labels, (0, padding)),
        "mask": mask,
    }


@dataclass(frozen=True)
class _Gather:
    """Takes examples out of memory."""

    pixels: np.ndarray
    labels: np.ndarray

    def __call__(self, indices: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.pixels[indices], self.labels[indices]


@dataclass(frozen=True)
class _Decode:
    """Reads and decodes examples, each cropped at random by (crop_seed, its position in the stream), if at all."""

    split: Split
    size: int
    center_crop: float
    crop_seed: int | None

    def __call__(self, indices: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pixels = np.empty((len(indices), self.size, self.size, self.split.channels), np.uint8)
        labels = np.empty(len(indices), np.int32)
        for row, (image, labels[row]) in enumerate(self.split.read(indices.tolist())):
            if self.crop_seed is None:
                pixels[row] = images.center_crop(image, self.size, self.center_crop)
            else:
                rng = np.random.default_rng((self.crop_seed, 1, int(positions[row])))
                pixels[row] = images.random_resized_crop(image, self.size, rng)
        return pixels, labels


def _loader(split: Split, config: DataConfig, crop_seed: int | None) -> _Gather | _Decode:
    size = len(split) * config.image_size**2 * split.channels
    if crop_seed is None and size <= config.memory_limit_gib * 2**30:
        return _Gather(*split.decoded(config.image_size, config.center_crop))
    return _Decode(split, config.image_size, config.center_crop, crop_seed)


def _generate(make: Callable[[int], Batch], start: int, stop: int, workers: int | None) -> _Batches:
    """Makes the batches of these numbers: in this thread (None), ahead of time in threads (0) or in processes."""
    if workers is None:
        yield from map(make, range(start, stop))
        return
    batches = grain.MapDataset.range(start, stop).map(make)
    if workers:
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()  # Grain reads a flag of its own, which only absl.app.run parses
        ahead = batches.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=1))
        options = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2)
        iterator = iter(ahead.mp_prefetch(options))
    else:
        threads = min(os.cpu_count() or 1, 16)
        iterator = iter(batches.to_iter_dataset(grain.ReadOptions(threads, prefetch_buffer_size=threads)))
    try:
        for batch in iterator:
            yield {name: np.array(value) for name, value in batch.items()}  # processes share memory that they reclaim
    finally:
        iterator.close()
        del iterator
        gc.collect()  # a cycle in Grain's iterator keeps shared memory, which Python warns of when it ends
