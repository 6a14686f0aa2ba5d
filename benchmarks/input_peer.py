"""Measures other input pipelines for `benchmarks.input`; run by a Python that has PyTorch or TensorFlow.

    python input_peer.py torch|tf FOLDER SECONDS

Prints a JSON object: PyTorch's DataLoader with torchvision's RandomResizedCrop on Pillow images, or tf.data with
`decode_and_crop_jpeg` and a bilinear resize without smoothing. Both read files, as this project reads a prepared
dataset. Imports nothing of this project.
"""

import json
import os
import sys
import time
from pathlib import Path

SIZE, BATCH = 224, 64


def rates_of_batches(batches, seconds):
    """Returns images a second, by wall time and by processor time, after the batches that workers made ahead."""
    for _ in range(12):
        next(batches)
    start, used, done = time.perf_counter(), processor_seconds(), 0
    while time.perf_counter() - start < seconds:
        next(batches)
        done += BATCH
    return done / (time.perf_counter() - start), done / (processor_seconds() - used)


def processor_seconds():
    """Returns processor seconds of all processes of this session, as Linux counts them."""
    ticks, session = 0, os.getsid(0)
    for process in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = process.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:  # It has just ended.
            continue
        if int(fields[3]) == session:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


class Files:
    """Image files, each read, decoded and cropped as torchvision does it."""

    def __init__(self, files):
        from torchvision import transforms  # pyright: ignore[reportMissingImports]

        self.files = files
        self.transform = transforms.Compose([transforms.RandomResizedCrop(SIZE), transforms.PILToTensor()])

    def __len__(self):
        return 1_000_000

    def __getitem__(self, index):
        from PIL import Image

        with Image.open(self.files[index % len(self.files)]) as image:
            return self.transform(image.convert("RGB"))


def measure_torch(files, workers, seconds):
    """Returns images a second of a DataLoader with that many worker processes."""
    import torch  # pyright: ignore[reportMissingImports]

    loader = torch.utils.data.DataLoader(Files(files), batch_size=BATCH, shuffle=True, num_workers=workers)
    return rates_of_batches(iter(loader), seconds)


def measure_tf(files, workers, seconds):
    """Returns images a second of a tf.data pipeline with that many threads."""
    import tensorflow as tf  # pyright: ignore[reportMissingImports, reportMissingModuleSource]

    def crop(file):
        data = tf.io.read_file(file)
        shape = tf.image.extract_jpeg_shape(data)
        whole = tf.constant([0.0, 0.0, 1.0, 1.0], shape=[1, 1, 4])
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            shape,
            bounding_boxes=whole,
            min_object_covered=0.08,
            aspect_ratio_range=(3 / 4, 4 / 3),
            area_range=(0.08, 1.0),
            max_attempts=10,
            use_image_if_no_bounding_boxes=True,
        )
        window = tf.stack([begin[0], begin[1], size[0], size[1]])
        image = tf.image.decode_and_crop_jpeg(data, window, channels=3)
        return tf.cast(tf.image.resize(image, [SIZE, SIZE]), tf.uint8)

    options = tf.data.Options()
    options.threading.private_threadpool_size = workers
    options.threading.max_intra_op_parallelism = 1
    data = tf.data.Dataset.from_tensor_slices(files).repeat().map(crop, num_parallel_calls=workers)
    return rates_of_batches(iter(data.batch(BATCH).prefetch(2).with_options(options).as_numpy_iterator()), seconds)


def main():
    """Prints the rates of one peer."""
    kind, folder, seconds = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    name, measure = {
        "torch": ("torch DataLoader, Pillow", measure_torch),
        "tf": ("tf.data, decode_and_crop", measure_tf),
    }[kind]
    rates = {}
    for images in ("full", "256"):
        files = [str(file) for file in sorted((folder / images / "train").rglob("*.jpg"))]
        for workers in (1, 2):
            by_clock, by_processor = measure(files, workers, seconds)
            rates[f"{name}/{images}/{workers}"] = by_clock
            rates.setdefault(f"{name}/{images}/core", by_processor)
    print(json.dumps(rates))


if __name__ == "__main__":
    main()
