"""`launch.py prepare`: writes image files as a dataset that TFDS and this project read."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, cast

from senet_jax.bounds import Count, Name
from senet_jax.commands.request import CommandOptions, Directory, Request
from senet_jax.cores import usable
from senet_jax.disks import check_writable
from senet_jax.schema import Placeholder, Rule
from senet_jax.terminal import program
from senet_jax.terminal.tables import print_table
from senet_jax.workdir import RunError


@dataclass(frozen=True, kw_only=True)
class Options(CommandOptions):
    """Writes image files as a dataset in array_record that TFDS and this project read, without TensorFlow.

    The same command again continues an earlier one that was stopped.
    """

    dataset: Annotated[Name, Placeholder("NAME")]
    """imagenet2012, imagenet_v2, places365, or a new name for images of your own."""
    source: Directory
    """Directory of the official files, of <split>/<class>/<file>, of WebDataset's tars, or after save_to_disk."""
    data_dir: Directory | None = None
    """Directory of prepared datasets; by default that of TFDS (TFDS_DATA_DIR, else ~/tensorflow_datasets)."""
    shorter_side: Annotated[Count | None, Placeholder("PIXELS")] = None
    """Pixels to shrink larger images to, as JPEG; by default the bytes of all files stay as they are."""
    quality: Annotated[int, Placeholder("N"), Rule("a whole number from 1 to 95", lambda value: 1 <= value <= 95)] = 90
    """Quality of the JPEG files of shrunk images."""
    check: bool = False
    """Decodes every image, and names those that cannot be."""
    partial: bool = False
    """Prepares an incomplete source: some classes, splits or images of the official dataset, splits without a class."""
    jobs: Annotated[Count | None, Placeholder("N")] = None
    """Number of processes; by default one for each core."""


def prepare(request: Request) -> Callable[[], None]:
    """Lists the source and checks it. Raises ValueError or OSError if it cannot be prepared."""
    given = cast(Options, request.options)
    from senet_jax.data import preparation, standard_sets

    name = given.dataset
    data_dir = standard_sets.data_root(given.data_dir)
    check_writable(data_dir, f"--data_dir={data_dir}")
    directory, names, splits = standard_sets.find(name, given.source, partial=given.partial)
    options = preparation.Options(given.shorter_side, given.quality, given.check)
    plan = preparation.Preparation(name, data_dir / directory, names, splits, options)
    preparation.check_new(plan.directory)

    def run() -> None:
        try:
            unreadable = preparation.write(plan, given.jobs or usable())
        except (ValueError, OSError) as error:  # Of other options than the unfinished dataset has, or of the disk.
            raise RunError(str(error)) from error
        for fault in unreadable[:5]:
            print(f"cannot be decoded: {fault}")
        named = {"unreadable": f"{len(unreadable):,} images, named in {plan.directory / preparation.UNREADABLE}"}
        test = next((split for split in splits if not split.startswith("train")), next(iter(splits)))
        train = "train" if "train" in splits else next((split for split in splits if split != test), test)
        print_table(
            {"dataset": name, "classes": f"{len(names):,}"}
            | {split: f"{len(found):,} images" for split, found in splits.items()}
            | (named if unreadable else {})
            | {
                "written": str(plan.directory),
                "use": f"{program.command()} --config=FILE --config.data.name={name} "
                f"{shlex.quote(f'--config.data.data_dir={data_dir}')} --config.data.test_split={test}"
                + ("" if train == "train" else f" --config.data.train_split={train}")
                + ("" if name in standard_sets.SETS else " --config.data.path=none"),  # That of class folders.
            }
        )

    return run
