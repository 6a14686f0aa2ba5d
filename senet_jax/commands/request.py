"""What a command is given: the request that a command line makes, and the flags of its own, which it declares."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from senet_jax import config
from senet_jax.config import Experiment, Name
from senet_jax.schema import Placeholder
from senet_jax.sweep import Sweep

Directory = Annotated[Path, Placeholder("DIRECTORY")]
File = Annotated[Path, Placeholder("FILE")]
Network = Annotated[config.Network, Placeholder("NAME")]
Source = Annotated[Name, Placeholder("SOURCE")]
_Step = Annotated[Name, Placeholder("STEP")]


@dataclass(frozen=True)
class Request:
    """What a command line asks for."""

    command: str
    """One of COMMANDS, or "help"."""
    config: Experiment = field(default_factory=Experiment)
    """Validated, with its overrides; of use to the commands that take one."""
    overrides: frozenset[str] = frozenset()
    """The fields of the configuration that the command line itself sets."""
    config_path: Path | None = None
    """The file that the configuration was read from: an experiment's, or a workdir's config.json."""
    name: str = ""
    """The experiment's, such as "digits" or, for --config=sizes.py:large, "sizes-large"; or the workdir's."""
    workdir: Path | None = None
    """Never None for the commands that are of a run or of a workdir."""
    options: Any = None
    """The command's own flags, its `Options`."""
    sweep: Sweep | None = None
    """Of the variants of the configuration; never None for "sweep"."""
    is_configured: bool = False
    """Whether the command line has --config or --config.FIELD."""
    words: list[str] = field(default_factory=list)
    """Those after the command, for the commands that take some."""


@dataclass(frozen=True, kw_only=True)
class CommandOptions:
    """The flags of a command: a subclass in its file, whose docstring says in --help what the command does.

    The file imports jax and what needs it within its functions: a wrong command line is refused at once.
    """

    configured: ClassVar[bool] = False
    """Whether it takes --config, --config.FIELD and --workdir."""
    of_run: ClassVar[bool] = False
    """Whether it needs --workdir, and takes the configuration of the run there unless --config is given; a command with
    --weights takes that instead."""
    reads_run: ClassVar[bool] = False
    """Whether --workdir, if given, is that of a run, whose configuration it takes unless --config is given."""
    of_workdir: ClassVar[bool] = False
    """Whether it needs --workdir, of a sweep or of a run, and takes no configuration."""
    words: ClassVar[str] = ""
    """What stands for the words that it takes after its name; empty if it takes none."""


@dataclass(frozen=True, kw_only=True)
class LoadingOptions(CommandOptions):
    """The flags of a command that loads a trained network."""

    model: Network | None = None
    """Network, for a file that does not say it."""
    step: _Step = "newest"
    """Checkpoint of a workdir: newest, best, or its step."""

    def load(self, weights: str, **fields: Any) -> Any:
        """Returns the network, a `Loaded`, as `senet_jax.load` does with the fields; raises what it raises."""
        from senet_jax import load

        step = int(self.step) if self.step.isdecimal() else self.step
        return load(weights, model=self.model, step=step, **fields)


@dataclass(frozen=True, kw_only=True)
class SourceOptions(LoadingOptions):
    """The flags of a command that loads the network of --weights."""

    weights: Source
    """Trained network: a workdir, a weight file, a folder in timm's format or a repository of Hugging Face, such as
    timm/seresnet50.ra2_in1k."""
