"""Measures the input pipeline in images a second: JPEG files decoded, cropped and resized, here and by others.

    python -m benchmarks.input [--images=256] [--seconds=4] [--rounds=3] [--peer_python=FILE] [--output=FILE.csv]

The files are synthetic photographs of ImageNet's sizes (`senet_jax.data.photographs`), and of 256 pixels on the shorter
side. Prints the medians over rounds, in which all contestants take their turns, each in a process of its own. The peers
need a Python with PyTorch and torchvision, or TensorFlow, or both. "core" counts the seconds of all processors: of one
thread, or of a loader with one worker and all its processes, so that a busy machine changes it little. "1" and "2" are
loaders with that many workers, by wall time; threads have as many cores. The loaders have seen all files before they
are measured: the first crop of a file takes longer. All have the allocator's settings that `launch.py` gives its runs.
"""

import argparse
import io
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.input_peer import BATCH, SIZE, rates_of_batches
from senet_jax import allocator
from senet_jax.bench import report
from senet_jax.config import DataConfig
from senet_jax.data.photographs import photograph
from senet_jax.terminal.tables import aligned, print_table
from senet_jax.training.provenance import provenance

SETS = {"full": {}, "256": {"shorter_side": 256, "quality": 90}}


def write_photographs(folder: Path, images: int) -> None:
    """Writes the sets as class folders, `folder/SET/train/CLASS/N.jpg`."""
    for index in range(images):
        for name, options in SETS.items():
            file = folder / name / "train" / f"class{index % 2}" / f"{index}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(photograph(index, **options))


def measure(folder: Path, seconds: float) -> dict[str, float]:
    """Returns images a second of this project, and of decoders and Pillow's crop on one core."""
    rates = {}
    for name in SETS:
        files = [file.read_bytes() for file in sorted((folder / name).rglob("*.jpg"))]
        for kind, make in _on_one_core().items():
            rates[f"{kind}/{name}/core"] = _rate_on_one_core(make, files, seconds / 2)
        for kind, number in itertools.product(("threads", "processes"), (1, 2)):
            by_clock, by_processor = _rates_of_loader(folder / name, kind, number, seconds)
            rates[f"senet_jax, {kind}/{name}/{number}"] = by_clock
            rates.setdefault(f"senet_jax, {kind}/{name}/core", by_processor)
    return rates


def _on_one_core() -> dict[str, Callable[[bytes, np.random.Generator], Any]]:
    import cv2
    import simplejpeg
    from PIL import Image

    from senet_jax.data import crops

    def pillow(data: bytes, rng: np.random.Generator, resampling: Image.Resampling) -> np.ndarray:
        with Image.open(io.BytesIO(data)) as image:
            part = image.convert("RGB").crop(crops.random_region(*image.size, rng))
        return np.asarray(part.resize((SIZE, SIZE), resampling))

    return {
        "senet_jax, crop": lambda data, rng: crops.random_resized_crop(data, 3, SIZE, rng, intact=True),
        "senet_jax, first crop": lambda data, rng: crops.random_resized_crop(data, 3, SIZE, rng),
        "Pillow, bilinear": lambda data, rng: pillow(data, rng, Image.Resampling.BILINEAR),
        "Pillow, bicubic": lambda data, rng: pillow(data, rng, Image.Resampling.BICUBIC),
        "decode alone: simplejpeg": lambda data, rng: simplejpeg.decode_jpeg(data),
        "decode alone: OpenCV": lambda data, rng: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR),
        "decode alone: Pillow": lambda data, rng: np.asarray(Image.open(io.BytesIO(data)).convert("RGB")),
    }


def _rate_on_one_core(make: Callable[[bytes, np.random.Generator], Any], files: list[bytes], seconds: float) -> float:
    rng, done, start = np.random.default_rng(0), 0, time.process_time()
    while time.process_time() - start < seconds:
        for data in files[:16]:
            make(data, rng)
        files = files[16:] + files[:16]
        done += 16
    return done / (time.process_time() - start)


def _rates_of_loader(folder: Path, kind: str, number: int, seconds: float) -> tuple[float, float]:
    from senet_jax import data

    cores = os.sched_getaffinity(0)
    if kind == "threads":
        os.sched_setaffinity(0, sorted(cores)[:number])  # There is one for each core.

    config = DataConfig(
        "folder",
        path=str(folder),
        data_dir=str(folder.parent / "prepared"),
        test_split="train",
        image_size=SIZE,
        random_resized_crop=True,
        workers=0 if kind == "threads" else number,
        mean=(0.5,),
    )
    batches = data.train_batches(data.open_dataset(config).train, config, batch_size=BATCH, seed=0)
    try:
        return rates_of_batches(batches, seconds)
    finally:
        batches.close()
        os.sched_setaffinity(0, cores)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer_python", type=Path)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure, given.seconds)))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_photographs(Path(folder), given.images)
        commands = [[sys.executable, "-m", "benchmarks.input", f"--measure={folder}", f"--seconds={given.seconds}"]]
        if given.peer_python:
            worker = str(Path(__file__).with_name("input_peer.py"))
            commands += [[str(given.peer_python), worker, kind, folder, str(given.seconds)] for kind in ("torch", "tf")]
        environment = os.environ | {"GLIBC_TUNABLES": allocator.TUNABLES}
        rounds: dict[str, list[float]] = {}
        load = os.getloadavg()[0]
        for _ in range(given.rounds):
            for command in commands:
                ended = subprocess.run(
                    command, check=False, capture_output=True, text=True, start_new_session=True, env=environment
                )
                if ended.returncode:
                    print(f"left out: {' '.join(command[1:3])}: {ended.stderr.strip()[-200:]}", file=sys.stderr)
                    continue
                for name, rate in json.loads(ended.stdout.splitlines()[-1]).items():
                    rounds.setdefault(name, []).append(rate)
    _print({name: statistics.median(rates) for name, rates in rounds.items()}, given.output)
    print_table(
        {
            "machine": f"{os.cpu_count()} cores, load {load:.1f} before the first round (0 is quiet)",
            "images": f"{given.images} of each set, {given.rounds} rounds of {given.seconds:g} s, medians",
        }
    )


def _print(rates: dict[str, float], output: Path | None) -> None:
    rates = dict(sorted(rates.items(), key=lambda item: "alone" in item[0]))
    columns = [f"{name} {how}" for name in SETS for how in ("core", "1", "2")]
    kinds = dict.fromkeys(name.split("/")[0] for name in rates)
    rows = [
        {"images a second": kind} | {column: rates.get(f"{kind}/{column.replace(' ', '/')}") for column in columns}
        for kind in kinds
    ]
    cells = [
        [kind, *("" if rate is None else f"{rate:,.0f}" for rate in found)] for kind, *found in map(dict.values, rows)
    ]
    print(*aligned([list(rows[0]), *cells]), sep="\n")
    if output:
        report.write(output, rows, provenance())


if __name__ == "__main__":
    main()
