"""Networks with their trained weights, from a file or from Hugging Face."""

import hashlib
import json
import logging
import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple, overload

from senet_jax import models
from senet_jax.config import ModelConfig
from senet_jax.files import expanded
from senet_jax.models import Network
from senet_jax.schema import did_you_mean, from_dict
from senet_jax.weights.configured import build_model, evaluated
from senet_jax.weights.load import Weights, classes, read, to_variables
from senet_jax.weights.preprocessing import CAFFE, Preprocessing
from senet_jax.workdir import NETWORK, SWEEP

_FILES = ("model.safetensors", "pytorch_model.bin")
"""Names of weight files in a repository of Hugging Face."""
_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".tar", ".caffemodel")


class Pretrained(NamedTuple):
    """A network with its weights: `model.apply(variables, preprocessing(image)[None], train=False)` returns logits."""

    model: Network
    variables: dict[str, Any]
    preprocessing: Preprocessing
    source: str
    """Name and SHA-256 of the file that the weights are from."""


@overload
def create_model(name: str, num_classes: int | None = None, *, weights: None = None, **fields: Any) -> Network: ...
@overload
def create_model(name: str, num_classes: int | None = None, *, weights: str | Path, **fields: Any) -> Pretrained: ...
def create_model(
    name: str, num_classes: int | None = None, *, weights: str | Path | None = None, **fields: Any
) -> Network | Pretrained:
    """Makes a network as `models.create_model` does; with `weights`, returns it with them and its preprocessing.

    Args:
      name: one of `list_models()`.
      num_classes: width of the logits, or 0 for pooled features; None: that of the weights, else of the dataset that
        the network was made for. If it is not that of the weights, the last layer is initialised anew, by
        `jax.random.key(0)`.
      weights: the path of a file that `load_weights` reads, or a repository of Hugging Face such as
        "timm/seresnet50.ra2_in1k".
      **fields: `ratio`, and other arguments of `models.create_model`.

    A file of ours says how its attention modules compute; `fields` take precedence. The preprocessing is that of its
    header, else of timm's `config.json` beside the file, and for Caffe models the authors'. Otherwise it is the most
    usual one of the network's released weights, with a warning.

    Raises ValueError for a name, a field or a file that does not fit, OSError if the weights cannot be read or fetched.
    """
    model = models.create_model(name, num_classes, **fields)
    if weights is None:
        return model
    path, called = located(weights)
    file = read(path)
    if file.header:
        own = written_config(file, name)
        model = models.create_model(name, num_classes, **_computing(own) | fields)
    channels = channels_of(name, file)
    trained = classes(model, file)
    if num_classes is None and not model.features_only:
        model = model.clone(num_classes=trained)
    variables = to_variables(model, file, head=model.num_classes == trained, channels=channels)
    source = file.header.get("source") or f"{called}, SHA-256 {digest(path)}"
    return Pretrained(model, variables, preprocessing_of(name, file).of_channels(channels), source)


def written_config(file: Weights, name: str | None = None) -> ModelConfig:
    """Returns the configuration in the header of a file of ours.

    Raises ValueError if it is of another network than the named one.
    """
    own = from_dict(ModelConfig, {"name": file.header["model"], **json.loads(file.header.get("fields", "{}"))})
    if name not in (None, own.name):  # The other name can be that of the same network.
        other = models.create_model(name, 1)
        if build_model(evaluated(own), 1).clone(norm=other.norm) != other:
            raise ValueError(f"{file.path} says that it is of {own.name}, and not of {name}; give {own.name!r}")
    return own


def _computing(config: ModelConfig) -> dict[str, Any]:
    """Returns the fields of a configuration's network on which the values of its maps depend."""
    network = build_model(config, num_classes=1)
    names = ("attention", "attention_stages", "placement")
    return {name: getattr(network, name) for name in names if hasattr(network, name)}


def located(weights: str | Path) -> tuple[Path, str]:
    """Returns the path of the file and its name. If the file does not exist, a repository of that name is fetched.

    A folder that holds a repository's files, and timm's prefixes "hf-hub:" and "local-dir:", are understood.
    """
    if (given := str(weights)).startswith(("hf-hub:", "hf_hub:")):
        repository = given[7:]
        return _fetched(repository), repository
    path = expanded(given.removeprefix("local-dir:"))
    if path.is_dir():
        for name in _FILES:
            if (path / name).is_file():
                return path / name, f"{path.name}/{name}"
        if (path / NETWORK).is_file():
            raise FileNotFoundError(f"{str(path)!r} is the workdir of a run; senet_jax.load makes its network")
        if (path / SWEEP).is_file():
            raise FileNotFoundError(f"{str(path)!r} holds a sweep; give the directory of one of its runs")
        raise FileNotFoundError(f"the folder {str(path)!r} has neither {_FILES[0]} nor {_FILES[1]}")
    if path.exists():
        return path, path.name
    if path.suffix in _SUFFIXES or not re.fullmatch(r"[\w.-]+/[\w.-]+", given):
        raise FileNotFoundError(f"there is no weight file {given!r}")
    if path.parent.is_dir():  # A mistyped path has the form of a repository's name.
        near = did_you_mean(path.name, (other.name for other in path.parent.iterdir()))
        raise FileNotFoundError(
            f"there is no {given!r}{near}; hf-hub:{weights} is the repository of Hugging Face with this name"
        )
    return _fetched(given), given


def _fetched(repository: str) -> Path:
    """Fetches the weights of a repository of Hugging Face, and its `config.json` if it has one."""
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"there is no {Path(repository).absolute()}, and to fetch {repository!r} from Hugging Face needs "
            "huggingface_hub: pip install huggingface_hub"
        ) from error

    def download(name: str) -> Path | None:
        """Returns the path; None if the repository does not have the file."""
        try:
            return Path(hf_hub_download(repository, name))
        except LocalEntryNotFoundError:  # The network cannot be reached.
            raise
        except EntryNotFoundError:
            return None

    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)  # It warns of each of many retries; the error below says why all failed.
    try:
        path = download(_FILES[0]) or download(_FILES[1])
        download("config.json")
    except Exception as error:  # Errors of its HTTP library are among them.
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
    else:
        if path is not None:
            return path
        reason = f"it has neither {_FILES[0]} nor {_FILES[1]}"
    finally:
        logger.setLevel(level)
    raise OSError(
        f"there is no {Path(repository).absolute()}, and {repository!r} could not be fetched from Hugging Face "
        f"({reason}); if this machine cannot reach it, download {_FILES[0]} and config.json from "
        f"https://huggingface.co/{repository} elsewhere, put them in one directory and give the path of the first"
    )


def digest(path: Path) -> str:
    """Returns the SHA-256 of a file.

    Raises ValueError if the name of the file ends in the beginning of another one, as PyTorch's hub names its files. An
    ending without a letter is a date or a number.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    said = re.search(r"-(?=\d*[a-f])([0-9a-f]{8,64})(\.pth|\.pt|\.bin|\.tar|\.safetensors)+$", path.name)
    if said and not found.startswith(said[1]):
        raise ValueError(
            f"{path} is damaged or misnamed: its SHA-256 begins with {found[: len(said[1])]}, not with that of its name"
        )
    return found


def hub_config(path: Path) -> dict[str, Any]:
    """Returns timm's `config.json` beside a file, or {} if none exists. Raises ValueError if it cannot be read."""
    config = path.with_name("config.json")
    try:
        said = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    except ValueError as error:
        raise ValueError(f"{config} cannot be read as timm's: {type(error).__name__}: {error}") from error
    if not isinstance(said, dict):
        return {}
    if (
        "pretrained_cfg" not in said and {"architecture", "input_size"} <= said.keys()
    ):  # As older versions of timm wrote it.
        said = {"pretrained_cfg": said, "architecture": said["architecture"], "label_names": said.get("labels")}
    for name in ("pretrained_cfg", "model_args"):
        if not isinstance(said.get(name) or {}, dict):
            raise ValueError(f"{config} cannot be read as timm's: its {name} is {said[name]!r}, and no dictionary")
    return said


def timm_name(file: Weights) -> str | None:
    """Returns the name here of the network that timm's `config.json` beside a file says; None if there is none."""
    name = f"timm/{hub_config(file.path).get('architecture')}"
    return name if name in models.list_models("timm/*") else None


def model_args(file: Weights) -> dict[str, Any]:
    """Returns the arguments besides the architecture with which timm built the network of a folder."""
    return hub_config(file.path).get("model_args") or {}


def channels_of(name: str, file: Weights) -> int:
    """Returns the number of channels of the images of a network's weights."""
    return preprocessing_of(name, file).channels if file.header else model_args(file).get("in_chans", 3)


def preprocessing_of(name: str, file: Weights) -> Preprocessing:
    """Returns the preprocessing of the file's header, else of timm's `config.json`, else the usual one, with a warning.

    Raises ValueError if `config.json` cannot be read, and as `check_network` does.
    """
    check_network(name, file)
    if file.header:
        return Preprocessing.from_json(file.header["preprocessing"])
    if file.is_caffe:
        return CAFFE
    try:
        if said := hub_config(file.path).get("pretrained_cfg"):
            return Preprocessing.from_timm(said)
    except (KeyError, TypeError) as error:
        config = file.path.with_name("config.json")
        raise ValueError(f"{config} cannot be read as timm's: {type(error).__name__}: {error}") from error
    usual = _usual(name)
    warnings.warn(
        f"{file.path.name} does not say how its images were prepared; the usual for {name} is assumed: {usual}",
        stacklevel=3,
    )
    return usual


def check_network(name: str, file: Weights) -> None:
    """Raises ValueError if a file says that it is of another network than the named one, whatever its attention."""
    own = file.header.get("model") or timm_name(file)
    if own is not None and own != name and _plain(own) != _plain(name):
        raise ValueError(f"{file.path} is of {own}, which computes something else than {name}; give {own!r}")
    arguments = {} if file.header else model_args(file)
    understood = {"num_classes", "in_chans", "global_pool"}  # The arrays say the first two.
    if arguments.keys() - understood or arguments.get("global_pool", "avg") != "avg":
        raise ValueError(
            f"{file.path} is of a network with timm's model_args {arguments}, which are not understood here; build the "
            "network with create_model and its fields, and load_weights into it"
        )


def _plain(name: str) -> str:
    """Returns a description of all that a network computes but for attention and dropout."""
    return repr(models.create_model(name, 1, attention=None, dropout=0.0))


def _usual(name: str) -> Preprocessing:
    """Returns that of most released weights: bilinear for those of Caffe and torchvision, bicubic for timm's own."""
    size = models.default_input(name)[1]
    if name in ("timm/inception_resnet_v2", "timm/mobilenetv1_100", "timm/mobilenetv1_125"):
        return Preprocessing(size, interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3)
    by_timm = re.match("timm/(?!legacy|vgg)|timm/legacy_(seresnet18|seresnext26)", name)
    return Preprocessing(size, interpolation="bicubic" if by_timm else "bilinear")
