"""The commands of launch.py and their flags. Each is a file of this folder, by its name."""

from dataclasses import dataclass, field
from pathlib import Path
from types import GenericAlias


@dataclass(frozen=True)
class Option:
    """A flag of a command."""

    kind: type | GenericAlias
    """What it is read as; a Path is a local one."""
    value: str
    """What stands for the value in messages and in the help."""
    meaning: str
    required: bool = False
    least: float | None = None


@dataclass(frozen=True)
class Command:
    """What a command does and takes."""

    meaning: str
    options: dict[str, Option] = field(default_factory=dict)
    """Its own flags; one that several commands take is of the same kind in all."""
    configured: bool = False
    """Whether it takes --config, --config.FIELD and --workdir."""
    of_run: bool = False
    """Whether it needs --workdir, and takes the configuration of the run there unless --config is given."""
    of_workdir: bool = False
    """Whether it needs --workdir, of a sweep or of a run, and takes no configuration."""


_MODEL = Option(str, "NAME", "the name of a network; launch.py list prints them", required=True)

COMMANDS = {
    "train": Command("trains an experiment, or goes on with the one in --workdir; the default", configured=True),
    "eval": Command(
        "evaluates the newest checkpoint in --workdir, by its own configuration unless --config is given",
        configured=True,
        of_run=True,
    ),
    "analyze": Command(
        "says what the gates of the newest checkpoint in --workdir do on the test images, in pictures and tables",
        {
            "classes": Option(
                tuple[str, ...], "NAMES", "the classes to draw, the first two with deviations; by default four"
            ),
            "output": Option(
                Path, "DIRECTORY", "where pictures and tables are written; by default excitations in --workdir"
            ),
        },
        configured=True,
        of_run=True,
    ),
    "sweep": Command(
        "trains the variants that sweep() in --config gives, each in a directory of --workdir; given again, it skips "
        "what is done, goes on with what was under way and tries again what failed",
        {
            "dry_run": Option(bool, "BOOLEAN", "whether only the table of the variants is printed; by default false"),
            "only": Option(str, "PATTERN", "the variants whose names match, as in 'ratio=8*' or '*/seed=0'"),
            "shard": Option(str, "K/N", "the K-th of N parts, as in 3/8: each machine trains its own"),
            "jobs": Option(int, "N", "variants trained at a time, each in a process; by default 1", least=1),
        },
        configured=True,
    ),
    "report": Command(
        "makes of the sweep or the run in --workdir tables (CSV, Markdown, LaTeX), pictures, and a page",
        {"output": Option(Path, "DIRECTORY", "where they are written; by default report in --workdir")},
        of_workdir=True,
    ),
    "list": Command("prints the names of the networks, and the experiments"),
    "networks": Command(
        "prints what was published about the networks beside what is counted here, as a Markdown table",
        {"output": Option(Path, "FILE.csv", "where the table is written as well")},
    ),
    "cost": Command(
        "prints what the network --model costs: parameters, multiply-adds, and squeeze-and-excitation's share",
        {
            "model": _MODEL,
            "image_size": Option(int, "PIXELS", "height and width of the image; by default its dataset's", least=1),
            "num_classes": Option(int, "N", "width of the logits; by default its dataset's"),
            "ratio": Option(float, "R", "reduction ratio of squeeze-and-excitation; by default its own"),
            "depth": Option(int, "LEVELS", "2 for a line each block, 3 for each layer; by default 1", least=1),
        },
    ),
    "convert": Command(
        "writes other people's trained weights as a safetensors file of our own, which says what they are",
        {
            "model": _MODEL,
            "weights": Option(
                str,
                "FILE",
                "a safetensors, PyTorch or Caffe file, or a repository of Hugging Face, such as "
                "timm/seresnet50.ra2_in1k",
                required=True,
            ),
            "output": Option(Path, "FILE.safetensors", "a file that there is not yet", required=True),
            "num_classes": Option(int, "N", "where it is not that of the weights, the last layer is made anew"),
        },
    ),
    "bench": Command(
        "measures in turns how fast a network and its plain twin are: ours, with stock Flax layers, and timm's",
        {
            "model": Option(str, "NAME", "timm/seresnet50, the default, or timm/seresnext50_32x4d"),
            "batch_size": Option(int, "IMAGES", "of one step; by default 16", least=1),
            "image_size": Option(int, "PIXELS", "height and width of the image; by default 224", least=1),
            "dtype": Option(str, "TYPE", "float32, the default, or bfloat16"),
            "modes": Option(tuple[str, ...], "MODES", "by default training,inference"),
            "variants": Option(tuple[str, ...], "NAMES", "the contestants; by default all that can be measured"),
            "rounds": Option(int, "N", "measurements of each contestant; by default 4", least=1),
            "seconds": Option(
                float, "S", "about how long a measurement takes, one step at least; by default 4", least=0
            ),
            "peer_python": Option(Path, "FILE", "a Python that has timm and PyTorch; without it timm is left out"),
            "allocator": Option(
                bool, "BOOLEAN", "whether the C library keeps memory, for all contestants alike; by default true"
            ),
            "output": Option(
                Path, "DIRECTORY", "where tables and picture are written; by default a new one in runs/bench"
            ),
        },
    ),
    "readme": Command(
        "writes the tables of README.md and docs/ from experiments/results, in a checkout of the repository",
        {"check": Option(bool, "BOOLEAN", "write nothing, and exit with status 1 if a table differs")},
    ),
}
CONFIGURED = [name for name, command in COMMANDS.items() if command.configured]
OPTIONS = {name: option for command in COMMANDS.values() for name, option in command.options.items()}
"""Those of all commands."""
