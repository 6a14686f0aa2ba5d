"""The commands of launch.py and their flags. Each is a file of this folder, by its name."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Option:
    """A flag of a command."""

    kind: type
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


_MODEL = Option(str, "NAME", "the name of a network; launch.py list prints them", required=True)

COMMANDS = {
    "train": Command("trains an experiment, or goes on with the one in --workdir; the default", configured=True),
    "eval": Command(
        "evaluates the newest checkpoint in --workdir, by its own configuration unless --config is given",
        configured=True,
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
}
CONFIGURED = [name for name, command in COMMANDS.items() if command.configured]
OPTIONS = {name: option for command in COMMANDS.values() for name, option in command.options.items()}
"""Those of all commands."""
