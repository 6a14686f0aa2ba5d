"""The commands of launch.py and their flags. Each is a file of this folder, by its name."""

from dataclasses import dataclass, field, replace
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
    """Whether it needs --workdir, and takes the configuration of the run there unless --config is given; a command with
    --weights takes that instead."""
    words: str = ""
    """What stands for the words that it takes after its name; empty if it takes none."""
    of_workdir: bool = False
    """Whether it needs --workdir, of a sweep or of a run, and takes no configuration."""


_MODEL = Option(str, "NAME", "the name of a network; the command list prints them", required=True)

_SOURCE = Option(
    str,
    "SOURCE",
    "a workdir, a weight file, a folder in timm's format or a repository of Hugging Face, such as "
    "timm/seresnet50.ra2_in1k",
    required=True,
)
_MODEL_OF_FILE = Option(str, "NAME", "the name of the network, for a file that does not say it")
_STEP = Option(str, "STEP", "checkpoint of a workdir: newest, the default, best, or its step")

COMMANDS = {
    "train": Command("trains an experiment, or goes on with the one in --workdir; the default", configured=True),
    "eval": Command(
        "evaluates the network of --workdir, on the images of its own configuration unless --config is given, or that "
        "of --weights on the images of --config and --config.data.FIELD; classes are matched by name",
        {
            "weights": replace(_SOURCE, required=False),
            "model": _MODEL_OF_FILE,
            "step": _STEP,
            "output": Option(
                Path, "DIRECTORY", "directory for the confusion matrix as a picture, for tables and predictions"
            ),
        },
        configured=True,
        of_run=True,
    ),
    "analyze": Command(
        "analyzes the gates of the newest checkpoint in --workdir on the test images: figures and tables",
        {
            "classes": Option(tuple[str, ...], "NAMES", "classes to draw, the first two with std; by default four"),
            "output": Option(
                Path, "DIRECTORY", "directory for figures and tables; by default excitations in --workdir"
            ),
        },
        configured=True,
        of_run=True,
    ),
    "sweep": Command(
        "trains the variants that sweep() in --config returns, each in a directory of --workdir; the same command "
        "again skips finished variants, resumes unfinished ones and retries failed ones",
        {
            "dry_run": Option(bool, "BOOLEAN", "print the table of variants and exit"),
            "only": Option(str, "PATTERN", "train the variants whose names match, as in 'ratio=8*' or '*/seed=0'"),
            "shard": Option(str, "K/N", "train the K-th of N parts, as in 3/8, for several machines"),
            "jobs": Option(int, "N", "number of variants to train at a time, each in a process; by default 1", least=1),
        },
        configured=True,
    ),
    "plan": Command(
        "compiles the training step of an experiment for a topology of TPUs that are not here, and prints whether it "
        "fits, how fast it could be, what chips exchange and what hosts must read",
        {
            "topology": Option(
                str, "CHIP:SHAPE", "as in v5e:16x16 or v4:8x8x8; cpu:8 measures a step on fake devices", required=True
            ),
            "largest_batch": Option(bool, "BOOLEAN", "find the largest batch that fits, by a few more compilations"),
            "train_images": Option(int, "N", "number of training images, if the dataset is not prepared here", least=1),
        },
        configured=True,
    ),
    "report": Command(
        "writes tables (CSV, Markdown, LaTeX), figures and an HTML page of the sweep or run in --workdir",
        {"output": Option(Path, "DIRECTORY", "directory for the report; by default report in --workdir")},
        of_workdir=True,
    ),
    "list": Command("prints the names of the networks, and the experiments"),
    "networks": Command(
        "prints a Markdown table of published figures of the networks beside our counts",
        {"output": Option(Path, "FILE.csv", "file for the table as CSV")},
    ),
    "cost": Command(
        "prints parameters and multiply-adds of a network, and squeeze-and-excitation's share of them",
        {
            "model": _MODEL,
            "image_size": Option(int, "PIXELS", "height and width of the image; by default its dataset's", least=1),
            "num_classes": Option(int, "N", "width of the logits; by default its dataset's"),
            "ratio": Option(float, "R", "reduction ratio of squeeze-and-excitation; by default its own"),
            "depth": Option(int, "LEVELS", "2 for a line each block, 3 for each layer; by default 1", least=1),
        },
    ),
    "predict": Command(
        "prints the likeliest classes of images, files, directories or patterns, by a trained network",
        {
            "weights": _SOURCE,
            "model": _MODEL_OF_FILE,
            "step": _STEP,
            "top": Option(int, "N", "classes to print of each image; by default 5", least=1),
            "batch_size": Option(int, "IMAGES", "images at a time; by default 32", least=1),
            "output": Option(Path, "FILE", "file for the predictions: .csv, or .jsonl for JSON lines"),
        },
        words="IMAGES...",
    ),
    "export": Command(
        "writes a trained network as StableHLO or ONNX for images of its size and any batch, and checks it against JAX",
        {
            "weights": _SOURCE,
            "format": Option(str, "FORMAT", "stablehlo, for cpu, cuda and tpu in one file, or onnx", required=True),
            "output": Option(Path, "FILE", "a new file", required=True),
            "model": _MODEL_OF_FILE,
            "step": _STEP,
            "normalise": Option(
                bool,
                "BOOLEAN",
                "whether the file normalises the images, and so takes pixels in [0, 255]; by default no",
            ),
        },
    ),
    "convert": Command(
        "writes a run's network, or other people's weights, as a safetensors file of our own that says what they are, "
        "or as a folder that timm loads",
        {
            "model": _MODEL_OF_FILE,
            "weights": _SOURCE,
            "output": Option(
                Path, "FILE.safetensors|FOLDER", "a new file, or a new folder in timm's format", required=True
            ),
            "num_classes": Option(
                int, "N", "number of classes; if the weights have another, the last layer is initialised anew"
            ),
        },
    ),
    "bench": Command(
        "measures the speed of a network and its plain twin in turns: ours, stock Flax and timm",
        {
            "model": Option(str, "NAME", "timm/seresnet50, the default, or timm/seresnext50_32x4d"),
            "batch_size": Option(int, "IMAGES", "images in a step; by default 16", least=1),
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
                bool, "BOOLEAN", "whether the C library keeps freed memory, for all contestants; by default true"
            ),
            "output": Option(Path, "DIRECTORY", "directory for tables and figure; by default a new one in runs/bench"),
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
