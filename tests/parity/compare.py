"""Our networks with the weights of rule.py, and how far their answers are from the peer's."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
from flax import traverse_util
from parity import rule
from safetensors.numpy import save_file

from senet_jax import create_model
from senet_jax.models import Network
from senet_jax.models.parameters import abstract_variables
from senet_jax.weights import load_weights
from senet_jax.weights.names import namings, tensor_names

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = sorted(path.stem for path in FIXTURES.glob("*.npz"))


def names_and_shapes(model: Network) -> Iterator[tuple[dict[str, str], dict[str, tuple[int, ...]]]]:
    """Returns, for each naming, the names of our variables in a PyTorch file and their shapes there."""
    variables = abstract_variables(model, jax.ShapeDtypeStruct((1, 224, 224, 3), np.float32), train=False)
    ours = {"/".join(path): leaf.shape for path, leaf in traverse_util.flatten_dict(variables).items()}
    for naming in namings(model):
        names = tensor_names(naming, ours)
        yield names, {names[path]: their_shape(path, shape) for path, shape in ours.items()}


def their_shape(path: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """PyTorch's order; timm has the dense layers of squeeze-and-excitation as 1x1 convolutions."""
    theirs = (*reversed(shape[-2:]), *shape[:-2]) if len(shape) != 3 else shape[::-1]
    return (*theirs, 1, 1) if "/se/" in path and len(shape) == 2 else theirs if len(shape) > 1 else shape


def build(name: str, fingerprint: int, folder: Path, **fields) -> tuple[Network, dict]:
    """The network of that name, and its variables, read from a file such as the peer's own would be."""
    name, _, output_stride = name.partition("@")
    model = create_model(f"timm/{name}", **({"output_stride": int(output_stride)} if output_stride else {}), **fields)
    shapes = next(shapes for _, shapes in names_and_shapes(model) if rule.fingerprint(shapes) == fingerprint)
    file = folder / f"{name}.safetensors"
    save_file({key: rule.weight(key, shape) for key, shape in shapes.items()}, file)
    return model, load_weights(model, file)


def relative_errors(name: str, folder: Path, sizes: Sequence[str]) -> dict[str, float]:
    """Returns the largest difference over the largest magnitude, of the logits and of each map, for each size."""
    peer = np.load(FIXTURES / f"{name}.npz")
    model, variables = build(name, peer["names"], folder)
    strides = sorted({int(key.split()[-1]) for key in peer.files if "stride" in key})

    @jax.jit
    def answers(variables, images):
        maps = model.apply(variables, images, train=False, features=strides)
        return model.apply(variables, images, train=False), maps

    errors = {}
    for size in sizes:
        logits, maps = answers(variables, rule.images(*rule.SIZES[size]).transpose(0, 2, 3, 1))
        ours = {f"{size} logits": np.asarray(logits)}
        for stride in strides:
            ours[f"{size} stride {stride}"] = rule.sample(np.asarray(maps[stride]).transpose(0, 3, 1, 2))
        for key, value in ours.items():
            if value.shape != peer[key].shape:
                raise ValueError(f"{name} {key} has shape {value.shape}, the peer's {peer[key].shape}")
            errors[key] = float(np.abs(value - peer[key]).max() / np.abs(peer[key]).max())
    return errors
