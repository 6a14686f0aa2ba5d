"""Input of a command: the request of the command line, and the flags that the command declares."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from senet_jax import bounds
from senet_jax.bounds import Name
from senet_jax.config import Experiment
from senet_jax.schema import Placeholder, Rule
from senet_jax.sweep import Sweep

Directory = Annotated[Path, Placeholder("DIRECTORY")]
File = Annotated[Path, Placeholder("FILE")]
Network = Annotated[bounds.Network, Placeholder("NAME")]
Source = Annotated[Name, Placeholder("SOURCE")]
Parallelism = Literal["jit", "pmap"]
_Step = Annotated[
    str,
    Rule("newest, best or the number of a step", lambda text: text in ("newest", "best") or text.isdecimal()),
    Placeholder("STEP"),
]


@dataclass(frozen=True)
class Request:
    """Content of a command line."""

    command: str
    """One of COMMANDS, or "help"."""
    config: Experiment = field(default_factory=Experiment)
    """Configuration with its overrides, validated; for the commands that take one."""
    overrides: frozenset[str] = frozenset()
    """Fields of the configuration that the command line itself sets."""
    config_path: Path | None = None
    """File of the configuration: an experiment's, or a workdir's config.json."""
    name: str = ""
    """Name of the experiment, such as "digits" or, for --config=sizes.py:large, "sizes-large"; or of the workdir."""
    workdir: Path | None = None
    """Directory of --workdir; never None for commands that need one."""
    options: Any = None
    """Flags of the command, its `Options`."""
    sweep: Sweep | None = None
    """Variants of the configuration; never None for "sweep"."""
    is_configured: bool = False
    """Whether the command line has --config or --config.FIELD."""
    words: list[str] = field(default_factory=list)
    """Words after the command, for commands that take some."""


@dataclass(frozen=True, kw_only=True)
class CommandOptions:
    """Flags of a command: a subclass in its file, whose docstring describes the command in --help.

    The file imports jax and packages that need it within its functions, so that errors come at once.
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
    """Placeholder of the words after its name; empty if it takes none."""
    computes: ClassVar[bool] = False
    """Whether it computes whole networks, for which the process starts again with another allocator (`allocator`)."""


@dataclass(frozen=True, kw_only=True)
class LoadingOptions(CommandOptions):
    """Flags of a command that loads a trained network."""

    model: Network | None = None
    """Network, for a file that does not say it."""
    step: _Step = "newest"
    """Checkpoint of a workdir: newest, best, or its step."""

    def load(self, weights: str, **fields: Any) -> Any:
        """Returns the network, a `Loaded`, as `senet_jax.load` does with the fields, with its errors."""
        from senet_jax import load
        from senet_jax.terminal.progress import working

        step = int(self.step) if self.step.isdecimal() else self.step
        with working("loading the network"):
            return load(weights, model=self.model, step=step, **fields)


@dataclass(frozen=True, kw_only=True)
class SourceOptions(LoadingOptions):
    """Flags of a command that loads the network of --weights."""

    weights: Source
    """Trained network: a workdir, a weight file, a folder in timm's format or a repository of Hugging Face, such as
    timm/seresnet50.ra2_in1k."""
