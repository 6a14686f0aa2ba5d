"""`launch.py eval`: evaluates a trained network on the images of a dataset."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from senet_jax import workdir as workdirs
from senet_jax.commands.places import check_output_directory
from senet_jax.commands.request import Directory, File, LoadingOptions, Request, Source
from senet_jax.config import DataConfig, Experiment
from senet_jax.files import write_json, write_table
from senet_jax.inherited import PREPROCESSING
from senet_jax.terminal.tables import accuracy_rows, aligned, print_table

if TYPE_CHECKING:
    import numpy as np

    from senet_jax.analysis.evaluation import Evaluation
    from senet_jax.data import Dataset
    from senet_jax.data.split import Split
    from senet_jax.training.answers import Answers
    from senet_jax.weights.preprocessing import Preprocessing
    from senet_jax.weights.source import Loaded

_MOST_PRINTED = 20


@dataclass(frozen=True, kw_only=True)
class Options(LoadingOptions):
    """Evaluates the network of --workdir, on the images of its own configuration unless --config is given.

    Or evaluates that of --weights on the images of --config and --config.data.FIELD; classes are matched by name.
    """

    configured = True
    computes = True
    of_run = True

    weights: Source | None = None
    """Trained network, if not that of --workdir: a workdir, a weight file, a folder in timm's format or a repository of
    Hugging Face, such as timm/seresnet50.ra2_in1k."""
    subset: bool = False
    """Chooses among the classes of the images alone, if they are fewer than the network's, as for ImageNet-A and -R."""
    real_labels: File | None = None
    """File real.json of ReaL (arXiv 2006.07159), for the accuracy on ImageNet's validation images by its labels too."""
    output: Directory | None = None
    """Directory for the confusion matrix as a picture, for tables and predictions."""


def prepare(request: Request) -> Callable[[], None]:
    """Loads the network and opens the dataset.

    Raises ValueError or OSError if the weights do not exist, or have no last layer or other classes than the images, if
    the command line changes the network, or if --output is a file.
    """
    options = cast(Options, request.options)
    output = options.output
    if output is not None:
        check_output_directory(output)
    if changed := sorted(name for name in request.overrides if name.startswith("model.")):
        raise ValueError(f"--config.{changed[0]} is given, but the weights say which network it is; leave it out")

    from senet_jax.analysis import real_labels

    real = options.real_labels and real_labels.read(options.real_labels)

    from senet_jax.analysis.evaluation import Evaluation
    from senet_jax.terminal.progress import progress, working
    from senet_jax.training import parallel
    from senet_jax.training.answers import answers
    from senet_jax.training.compilation import keep_programs
    from senet_jax.weights import imagenet, runs
    from senet_jax.weights.class_names import distinct, numbers_of_imagenet

    loaded = options.load(options.weights or str(request.workdir))
    if not loaded.network.num_classes:
        raise ValueError(f"{loaded.source} has no last layer, so that there is nothing to evaluate")
    run_config = None if request.workdir is None else workdirs.read_config(request.workdir)
    images = _preprocessing(loaded.preprocessing, request)
    dataset = _dataset(request.config.data, run_config)
    split = dataclasses.replace(dataset.test, channels=images.channels)
    numbers = _numbers(loaded, dataset)
    of_imagenet = numbers_of_imagenet(loaded.class_names) if real else None
    if real:
        named = filter(None, split.names(range(min(8, len(split)))))
        real_labels.place(next(named, ""))  # Others are refused before the evaluation, not after it.
    data = dataclasses.replace(request.config.data, **runs.data_fields(images))
    config = dataclasses.replace(request.config, model=loaded.config, data=data)

    def run() -> None:
        keep_programs()
        watch = partial(progress, task="evaluating", unit="batches")
        found = answers(
            loaded.network,
            loaded.variables,
            split,
            numbers,
            config=config,
            mesh=parallel.data_mesh(),
            subset=options.subset,
            watch=watch,
        )
        names = distinct([imagenet.described(name) for name in loaded.class_names or dataset.class_names])
        evaluation = Evaluation(
            found.labels, found.losses, found.ranks, found.classes[:, 0], found.probabilities[:, 0], names
        )
        rows = _rows(loaded, images, dataset, evaluation, _note(request.config, run_config), options.subset)
        if real and of_imagenet is not None:
            share, labelled = real_labels.accuracy(real, _files(found, split), of_imagenet[found.classes[:, 0]])
            rows["ReaL accuracy"] = f"{share:.2%} of the {labelled:,} images that have labels"
        print_table(rows)
        print("", *_class_lines(evaluation), sep="\n")
        if output is not None:
            title = f"{loaded.config.name} on {dataset.name}, {split.name}"
            with working("writing tables and predictions"):
                _save(output, title, loaded, evaluation, found, split, numbers)
            print(f"\npicture, tables and predictions are in {output}")

    return run


def _preprocessing(own: "Preprocessing", request: Request) -> "Preprocessing":
    """Returns the preprocessing of the weights, with the fields that the command line itself sets."""
    from senet_jax.weights import runs

    data = request.config.data
    given = {name: getattr(data, name) for name in PREPROCESSING["weights"] if f"data.{name}" in request.overrides}
    data = dataclasses.replace(data, **(runs.data_fields(own) | given))
    new = runs.preprocessing(dataclasses.replace(request.config, data=data), own.channels)
    if new.channels != own.channels:
        raise ValueError(
            f"config.data.mean is {new.mean}; give one, or one for each channel: the network has {own.channels}"
        )
    return new


def _dataset(data: DataConfig, run: Experiment | None) -> "Dataset":
    """Opens the dataset with the evaluated split alone, but a run's own test images as they were prepared for it."""
    from senet_jax.data import open_dataset
    from senet_jax.data.dataset import split_names
    from senet_jax.terminal.progress import working

    same = run is not None and (data.name, data.path) == (run.data.name, run.data.path)
    own = split_names(f"{run.data.train_split}+{run.data.test_split}") if run is not None else set()
    train = data.train_split if same and split_names(data.test_split) <= own else data.test_split
    with working("opening the dataset"):  # The mean and std of the weights are applied, not those of the data.
        return open_dataset(dataclasses.replace(data, train_split=train, mean=(0.5,), std=(0.5,)))


def _numbers(loaded: "Loaded", dataset: "Dataset") -> "np.ndarray":
    """Returns the network's number of each class of the dataset. Raises ValueError if it lacks one."""
    if loaded.class_names:
        from senet_jax.weights.class_names import matched

        return matched(loaded.class_names, dataset.class_names)
    classes = loaded.network.num_classes
    if classes != dataset.num_classes:
        raise ValueError(
            f"{loaded.source} has {classes} classes without names, and the dataset has {dataset.num_classes}"
        )
    import numpy as np

    return np.arange(classes, dtype=np.int32)


def _note(config: Experiment, run: Experiment | None) -> str | None:
    """Returns a note on images that the network may have been trained on."""
    from senet_jax.data.dataset import overlap, split_names

    data = config.data
    if run is not None and data.name == run.data.name:
        shared = overlap(data.test_split, run.data.train_split)
        if shared is not False:
            sure = "" if shared and data.path == run.data.path else "maybe "
            return f"{sure}no test: the run was trained on images of the split {run.data.train_split!r}"
    elif "train" in split_names(data.test_split):
        return f"maybe no test: the weights may have been trained on images of the split {data.test_split!r}"
    return None


def _rows(
    loaded: "Loaded",
    images: "Preprocessing",
    dataset: "Dataset",
    evaluation: "Evaluation",
    note: str | None,
    subset: bool,
) -> dict[str, str]:
    from senet_jax.analysis.evaluation import BINS

    figures, split = evaluation.figures, dataset.test
    bad = len(split) - figures["examples"]
    left_out = f" without {bad:,} that cannot be read" if bad else ""
    rows = {
        "network": f"{loaded.config.name}, {loaded.network.num_classes:,} classes",
        "weights": loaded.source,
        "images": f"{dataset.name}, split {split.name}, {len(split):,}{left_out}: {images}",
    }
    if note:
        rows["note"] = note
    if not loaded.class_names:
        rows["classes"] = "the weights do not name theirs; taken to be those of the images, in the same order"
    elif dataset.num_classes < loaded.network.num_classes:
        alone = " alone" if subset else ""
        rows["classes"] = f"{dataset.num_classes}{alone} of the network's {loaded.network.num_classes}, by their names"
    elif loaded.class_names != dataset.class_names:
        rows["classes"] = "matched by their names, in the order of the network"
    rows |= accuracy_rows(figures, loaded.network.num_classes, split.name)
    if evaluation.is_uneven:
        rows["balanced accuracy"] = f"{figures['balanced_accuracy']:.2%}, the mean over the classes"
    return rows | {"calibration error": f"{figures['calibration_error']:.2%} (ECE, {BINS} bins of equal width)"}


def _files(found: "Answers", split: "Split") -> list[str]:
    """Returns the names of the files of all answers; "" if the dataset has none."""
    examples: list[int] = found.numbers.tolist()
    return [name for start in range(0, len(examples), 256) for name in split.names(examples[start : start + 256])]


def _class_lines(evaluation: "Evaluation") -> list[str]:
    """Returns the lines of a table of the classes: of all, or if there are many, of the least accurate ones."""
    rows = evaluation.classes
    are_many = len(rows) > _MOST_PRINTED
    shown = sorted(rows, key=lambda row: row["accuracy"])[:_MOST_PRINTED] if are_many else rows
    cells = [
        [
            row["class"],
            f"{row['examples']:,}",
            f"{row['accuracy']:.2%}",
            f"{row['precision']:.2%}" if row["precision"] != "" else "",
            f"{row['mistaken_for']} ({row['mistaken']:,})" if row["mistaken"] else "",
        ]
        for row in shown
    ]
    table = aligned([["class", "images", "accuracy", "precision", "mistaken for"], *cells], left=(0, 4))
    return [*table, *([f"the lowest of {len(rows)} classes"] if are_many else [])]


def _save(
    output: Path,
    title: str,
    loaded: "Loaded",
    evaluation: "Evaluation",
    found: "Answers",
    split: "Split",
    numbers: "np.ndarray",
) -> None:
    """Writes the confusion matrix, the tables, the predictions and the metrics.

    The columns of the matrix are the classes of the dataset, `numbers`, and all others that were predicted.
    """
    import numpy as np

    from senet_jax.analysis.evaluation import BINS
    from senet_jax.analysis.evaluation_pictures import plot_confusion  # Matplotlib is slow to import.
    from senet_jax.training.provenance import provenance

    output.mkdir(parents=True, exist_ok=True)
    names, present = evaluation.class_names, evaluation.present
    possible = np.union1d(numbers, evaluation.predicted)
    rows, columns = ([names[int(label)] for label in labels] for labels in (present, possible))
    accuracy = evaluation.figures["accuracy"]
    heading = f"{title}: accuracy {accuracy:.2%}"
    confusion = evaluation.confusion[np.ix_(present, possible)]
    plot_confusion(confusion, rows, columns, output / "confusion.png", heading)
    counts = [{"class": row, **dict(zip(columns, own, strict=True))} for row, own in zip(rows, confusion, strict=True)]
    _write(output / "confusion.csv", counts)
    _write(output / "classes.csv", evaluation.classes)
    _write(output / "calibration.csv", evaluation.calibration)
    _write(output / "predictions.csv", _predictions(found, names, split))
    known = {"network": loaded.config.name, "weights": loaded.source, "images": title}
    write_json(output / "evaluation.json", known | evaluation.figures | {"bins": BINS} | provenance())


def _predictions(found: "Answers", names: Sequence[str], split: "Split") -> list[dict[str, Any]]:
    """Returns a row for each example, in the order of the split."""
    rows = []
    files = _files(found, split)
    named = any(files)
    for file, number, label, loss, rank, classes, probabilities in zip(files, *found, strict=True):
        row = {"example": number} | ({"file": file} if named else {})
        row |= {"class": names[label], "predicted": names[classes[0]], "probability": float(probabilities[0])}
        rows.append(row | {"rank_of_class": rank, "probability_of_class": math.exp(-loss)})
    return rows


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    write_table(path, [{name: f"{x:.6g}" if isinstance(x, float) else x for name, x in row.items()} for row in rows])
