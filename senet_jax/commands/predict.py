"""`launch.py predict`: the likeliest classes of images, by a trained network."""

import csv
import glob
import json
import sys
from collections.abc import Callable, Iterator
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from senet_jax.commands.command_line import Request
from senet_jax.commands.places import check_directory, load_source
from senet_jax.data import images
from senet_jax.terminal.progress import progress
from senet_jax.terminal.tables import aligned
from senet_jax.weights.source import Loaded

_BATCH = 32


def prepare(request: Request) -> Callable[[], None]:
    """Finds the images and loads the network. Raises ValueError or OSError for what is not there or does not fit."""
    options = request.options
    output: Path | None = options.get("output")
    if output is not None and output.suffix not in (".csv", ".jsonl"):
        raise ValueError(f"--output is {str(output)!r}; it must end in .csv, or in .jsonl for JSON lines")
    if output is not None:
        check_directory(output)
    files = list(dict.fromkeys(file for word in request.words for file in _files(word)))
    if not files:
        raise ValueError("predict needs images: files, directories or patterns, as in predict --weights=SOURCE *.jpg")
    loaded = load_source(options)
    if not loaded.network.num_classes:
        raise ValueError(f"--weights={options['weights']} has no last layer, so that it has no classes to name")

    def run() -> None:
        found, bad = {}, {}
        predictions = _predictions(loaded, files, options.get("batch_size", _BATCH), options.get("top", 5))
        for file, result in progress(predictions, len(files), "predicting", "images"):
            (bad if isinstance(result, str) else found)[file] = result
        if output is None:
            print(*_table(found), sep="\n")
        else:
            _write(output, found)
        for file, fault in bad.items():
            print(f"{file} is skipped: {fault}", file=sys.stderr)
        if bad:
            sys.exit(1)

    return run


def _files(word: str) -> list[Path]:
    """The images that a word of the command line stands for. Raises ValueError if there are none."""
    path = Path(word).expanduser()
    if path.is_dir():
        known = Image.registered_extensions()
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in known)
    else:
        found = [path] if path.exists() else [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
    if not found:
        raise ValueError(f"there are no images {word!r}; give files, directories or patterns")
    return found


def _predictions(loaded: Loaded, files: list[Path], batch_size: int, top: int) -> Iterator[tuple[Path, Any]]:
    """Each file with its likeliest classes, or with what is wrong with it."""

    def crop(file: Path) -> np.ndarray | str:
        try:
            return loaded.preprocessing.crop_pixels(images.read(file.read_bytes()))
        except (OSError, ValueError) as error:
            return str(error)

    size = loaded.preprocessing.image_size
    with ThreadPool() as pool:
        for start in range(0, len(files), batch_size):
            batch = files[start : start + batch_size]
            crops = pool.map(crop, batch)
            pixels = np.zeros((min(batch_size, len(files)), size, size, loaded.preprocessing.channels), np.uint8)
            for row, pixel in enumerate(crops):
                if not isinstance(pixel, str):
                    pixels[row] = pixel
            for file, pixel, row in zip(batch, crops, loaded.probabilities(pixels), strict=False):
                yield file, pixel if isinstance(pixel, str) else loaded.named(row, top)


def _table(found: dict[Path, Any]) -> list[str]:
    rows = []
    for file, classes in found.items():
        cells = [[name, f"{probability:.2%}"] for name, probability in classes]
        rows += [[str(file) if number == 0 else "", *row] for number, row in enumerate(cells)]
    return aligned(rows, left=(0, 1))


def _write(output: Path, found: dict[Path, Any]) -> None:
    with output.open("w", newline="") as file:
        if output.suffix == ".jsonl":
            for path, classes in found.items():
                named = [{"class": name, "probability": probability} for name, probability in classes]
                file.write(json.dumps({"file": str(path), "predictions": named}) + "\n")
            return
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "rank", "class", "probability"])
        for path, classes in found.items():
            writer.writerows([str(path), rank, *row] for rank, row in enumerate(classes, 1))
