"""Batches of a split: endless and shuffled for training, one pass in order for evaluation.

Every batch is a pure function of its number, so a stream can begin anywhere and be made by any number of workers.
"""

import contextlib
import functools
import gc
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass

import grain
import numpy as np
from absl import flags

from senet_jax.children import serve_parent
from senet_jax.config import DataConfig
from senet_jax.cores import usable
from senet_jax.data import augmentation, crops, images
from senet_jax.data.bad_images import BadImages, substitutes
from senet_jax.data.split import Decoded, Split
from senet_jax.data.supervised import supervised

Batch = dict[str, np.ndarray]
_BAD = "bad"
"""Key for the indices of images that cannot be read, -1 for the others, in unfinished batches."""
_Batches = Generator[Batch, None, None]
_Load = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Function of (indices, epoch and copy of each (n, 2)): pixels, labels, and whether each image cannot be read."""


def train_batches(
    split: Split,
    config: DataConfig,
    *,
    batch_size: int,
    seed: int,
    start: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    bad: BadImages | None = None,
) -> _Batches:
    """Yields shuffled batches without end: {"image": uint8 (b, image_size, image_size, c), "label": int32 (b,)}.

    Each epoch is a permutation of the split given by (seed, epoch). The next one follows at once, if need be within a
    batch. With `config.repeats`, the first images of the permutation come that many times, one copy after the other, in
    an epoch of as many images.

    The order is that of the global batches of `batch_size` examples: this process gets the process_index-th of
    process_count equal parts of each, b = batch_size / process_count. `start` is the number of batches already
    consumed; the stream continues as an uninterrupted one would.

    An image that cannot be read is noted in `bad`, by default a new `BadImages`. Another example takes its place,
    chosen by (seed, epoch, index).

    Close the generator to release the workers of a split that is not kept in memory. Raises ValueError if batch_size
    cannot be divided by process_count, and TooManyBadImagesError, a ValueError, as `BadImages.note` does.
    """
    part = _part(batch_size, process_index, process_count)
    load = loader(split, config, seed)
    make = functools.partial(_train_batch, load, len(split), batch_size, part, seed, config.repeats)
    return _noted(make, load, split, config, range(start, sys.maxsize), bad)


def evaluation_batches(
    split: Split,
    config: DataConfig,
    *,
    batch_size: int,
    process_index: int = 0,
    process_count: int = 1,
    bad: BadImages | None = None,
) -> _Batches:
    """Yields every example once, in order, in batches like those of `train_batches` with "mask": bool (b,).

    The last batch is padded with zeros, where the mask is False; every process gets the same number of batches. An
    image that cannot be read is noted in `bad`, and its mask is False: it counts neither as correct nor as wrong.
    Raises the errors of `train_batches`.
    """
    part = _part(batch_size, process_index, process_count)
    load = loader(split, config, None)
    make = functools.partial(_test_batch, load, len(split), batch_size, part)
    return _noted(make, load, split, config, range(-(-len(split) // batch_size)), bad)


def _part(batch_size: int, process_index: int, process_count: int) -> range:
    """Returns the places of this process in a global batch."""
    if batch_size < 1 or batch_size % process_count:
        raise ValueError(f"a batch of {batch_size} cannot be split evenly over {process_count} process(es)")
    if not 0 <= process_index < process_count:
        raise ValueError(f"process_index is {process_index}; it must be one of 0 to {process_count - 1}")
    size = batch_size // process_count
    return range(process_index * size, (process_index + 1) * size)


def _train_batch(
    load: _Load, examples: int, batch_size: int, part: range, seed: int, repeats: int, number: int
) -> Batch:
    epochs, places = np.divmod(number * batch_size + np.asarray(part), examples)
    indices = np.concatenate(
        [_permutation(examples, seed, int(epoch))[places[epochs == epoch] // repeats] for epoch in np.unique(epochs)]
    )
    draws = np.stack([epochs, places % repeats], axis=1)
    pixels, labels, bad = load(indices, draws)
    for row in np.flatnonzero(bad):
        for other in substitutes(examples, seed, int(epochs[row]), int(indices[row])):
            pixel, label, bad_too = load(np.array([other]), draws[row : row + 1])
            if not bad_too[0]:
                pixels[row], labels[row] = pixel[0], label[0]
                break
    return {"image": pixels, "label": labels, _BAD: np.where(bad, indices, -1)}


@functools.lru_cache(maxsize=4)
def _permutation(examples: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, 0, epoch)).permutation(examples)


def _test_batch(load: _Load, examples: int, batch_size: int, part: range, number: int) -> Batch:
    positions = number * batch_size + np.asarray(part)
    inside = positions < examples
    padding = len(part) - int(inside.sum())
    pixels, labels, bad = load(positions[inside], np.zeros((int(inside.sum()), 2), int))
    bad = np.pad(bad, (0, padding))
    return {
        "image": np.pad(pixels, ((0, padding), (0, 0), (0, 0), (0, 0))),
        "label": np.pad(labels, (0, padding)),
        "mask": inside & ~bad,
        _BAD: np.where(bad, positions, -1),
    }


@dataclass(frozen=True)
class _Gather:
    """Loads examples from memory."""

    decoded: Decoded

    def __call__(self, indices: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.decoded.pixels[indices], self.decoded.labels[indices], self.decoded.bad[indices]


@dataclass(frozen=True)
class _Decode:
    """Loads examples from files, changed at random by (seed, epoch, index, copy) unless seed is None."""

    split: Split
    config: DataConfig
    seed: int | None
    cropped: bytearray
    """For each example, 1 if it has been cropped here without an error."""

    def __call__(self, indices: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        size = self.config.image_size
        pixels = np.zeros((len(indices), size, size, self.split.channels), np.uint8)
        labels, bad = np.zeros(len(indices), np.int32), np.zeros(len(indices), bool)

        def decode(row: int, data: bytes) -> np.ndarray:
            if self.seed is None:
                return self._central(data)
            (epoch, copy), index = draws[row].tolist(), int(indices[row])
            rng = np.random.default_rng((self.seed, 1, epoch, index, *([copy] if copy else [])))
            if self.config.random_resized_crop:
                intact = bool(self.cropped[index])
                image = crops.random_resized_crop(data, self.split.channels, size, rng, intact=intact)
                self.cropped[index] = 1
            else:
                image = self._central(data)
            return augmentation.augment(image, self.config, rng)

        for row, example in enumerate(self.split.map(indices.tolist(), decode)):
            if example is None:
                bad[row] = True
            else:
                pixels[row], labels[row] = example
        return pixels, labels, bad

    def _central(self, data: bytes) -> np.ndarray:
        image, config = images.decode(data, self.split.channels), self.config
        return images.center_crop(image, config.image_size, config.center_crop, config.interpolation)


def is_kept(split: Split, config: DataConfig) -> bool:
    """Returns whether the decoded images of a split are kept in memory if they are not changed at random."""
    return len(split) * config.image_size**2 * split.channels <= config.memory_limit_gib * 2**30


def loader(split: Split, config: DataConfig, seed: int | None) -> _Gather | _Decode:
    """Returns the loader: for training if a seed is given, from memory if the pixels are the same in every epoch."""
    random = seed is not None and augmentation.is_on(config)
    if not random and is_kept(split, config):
        return _Gather(split.decoded(config.image_size, config.center_crop, config.interpolation))
    return _Decode(split, config, seed if random else None, bytearray(len(split)))


def _noted(
    make: Callable[[int], Batch],
    load: _Gather | _Decode,
    split: Split,
    config: DataConfig,
    numbers: range,
    bad: BadImages | None,
) -> _Batches:
    """Yields the batches of these numbers, and notes their bad images; those of a split in memory at once."""
    bad = BadImages(config.bad_images) if bad is None else bad
    if kept := isinstance(load, _Gather):
        bad.note(split, np.flatnonzero(load.decoded.bad).tolist())
    return _note_each(_generate(make, numbers, None if kept else config.workers), split, bad)


def _note_each(batches: _Batches, split: Split, bad: BadImages) -> _Batches:
    with contextlib.closing(batches):
        for batch in batches:
            indices = batch.pop(_BAD)
            bad.note(split, indices[indices >= 0].tolist())
            yield batch


def _generate(make: Callable[[int], Batch], numbers: range, workers: int | None) -> _Batches:
    """Makes the batches of these numbers: in this thread (None), ahead of time in threads (0) or in processes."""
    if workers is None:
        yield from map(make, numbers)
        return
    batches = grain.MapDataset.range(numbers.start, numbers.stop).map(make)
    if workers:
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()  # Grain reads a flag of its own, which only absl.app.run parses
        ahead = batches.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=1))
        options = grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2)
        iterator = iter(ahead.mp_prefetch(options, serve_parent))
        made = supervised(iterator)
    else:
        threads = min(usable(), 16)
        iterator = made = iter(batches.to_iter_dataset(grain.ReadOptions(threads, prefetch_buffer_size=threads)))
    try:
        for batch in made:  # Processes share memory that they reclaim.
            yield {name: np.array(value) for name, value in batch.items()} if workers else batch
    finally:
        iterator.close()
        del iterator, made
        gc.collect()  # a cycle in Grain's iterator keeps shared memory, which Python warns of when it ends
