"""`launch.py predict`: the likeliest classes of images, by a trained network."""

import csv
import glob
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

from senet_jax.bounds import Count
from senet_jax.commands.places import check_output_file
from senet_jax.commands.request import File, Request, SourceOptions
from senet_jax.files import expanded, replaced, write_records
from senet_jax.schema import Placeholder
from senet_jax.terminal.tables import aligned


@dataclass(frozen=True, kw_only=True)
class Options(SourceOptions):
    """Prints the likeliest classes of images, files, directories or patterns, by a trained network."""

    words = "IMAGES..."
    computes = True

    top: Count = 5
    """Classes to print of each image."""
    batch_size: Annotated[Count, Placeholder("IMAGES")] = 32
    """Images at a time."""
    output: File | None = None
    """File for the predictions: .csv, or .jsonl for JSON lines."""


def prepare(request: Request) -> Callable[[], None]:
    """Finds the images and loads the network. Raises ValueError or OSError if one is missing or does not fit."""
    options = cast(Options, request.options)
    output = options.output
    if output is not None and output.suffix not in (".csv", ".jsonl"):
        raise ValueError(f"--output is {str(output)!r}; it must end in .csv, or in .jsonl for JSON lines")
    if output is not None:
        check_output_file(output)
    files = list(dict.fromkeys(file for word in request.words for file in _files(word)))
    if not files:
        raise ValueError("predict needs images: files, directories or patterns, as in predict --weights=SOURCE *.jpg")
    loaded = options.load(options.weights)
    if not loaded.network.num_classes:
        raise ValueError(f"--weights={options.weights} has no last layer, so that it has no classes to name")

    def run() -> None:
        from senet_jax.terminal.progress import progress
        from senet_jax.weights.predictions import predict_files

        found, bad = {}, {}
        predictions = predict_files(loaded, files, options.batch_size, options.top)
        for file, result in progress(predictions, len(files), "predicting", "images"):
            (bad if isinstance(result, str) else found)[file] = result
        if output is None:
            print(*_table(found), sep="\n")
        else:
            _write(output, found)
            print(f"the predictions of {len(found):,} image{'s' * (len(found) != 1)} are in {output}")
        for file, fault in bad.items():
            print(f"{file} is skipped: {fault}", file=sys.stderr)
        if bad:
            sys.exit(1)

    return run


def _files(word: str) -> list[Path]:
    """Returns the images of a word of the command line. Raises ValueError if there are none."""
    path = expanded(word)
    if path.is_dir():
        from senet_jax.data.images import has_image_name

        names = glob.iglob("**", root_dir=path, recursive=True)  # Of folders that are links too, and not hidden.
        found = sorted(path / name for name in names if has_image_name(name) and (path / name).is_file())
    else:
        found = [path] if path.exists() else [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
    if not found:
        raise ValueError(f"there are no images {word!r}; give files, directories or patterns")
    return found


def _table(found: dict[Path, Any]) -> list[str]:
    rows = []
    for file, classes in found.items():
        cells = [[name, f"{probability:.2%}"] for name, probability in classes]
        rows += [
            [os.fsencode(file).decode(errors="replace") if number == 0 else "", *row]
            for number, row in enumerate(cells)
        ]
    return aligned(rows, left=(0, 1))


def _write(output: Path, found: dict[Path, Any]) -> None:
    if output.suffix == ".jsonl":
        records = []
        for path, classes in found.items():
            named = [{"class": name, "probability": probability} for name, probability in classes]
            records.append({"file": str(path), "predictions": named})
        write_records(output, records)
        return
    with (
        replaced(output) as temporary,
        temporary.open("w", newline="", errors="surrogateescape", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "rank", "class", "probability"])
        for path, classes in found.items():
            writer.writerows([str(path), rank, *row] for rank, row in enumerate(classes, 1))
