"""Digests for checkpoints of Orbax: `write_manifest` makes those of any program's checkpoint, `verify` compares."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from senet_jax.files import replace_text
from senet_jax.weights import manifests, runs
from senet_jax.weights.manifests import DamagedError

__all__ = ["DamagedError", "verify", "write_manifest"]

_MANIFEST = "senet_jax_manifest.json"


def write_manifest(directory: str | Path) -> Path:
    """Writes dtype, shape and XXH3 digest of every array of a checkpoint into a file in its directory, for `verify`.

    The directory is one that an Orbax `Checkpointer` saved, or one of the steps of a `CheckpointManager`. The arrays
    are read as they are now: write the manifest before anything can have damaged them. The runs of this project write
    one themselves.

    Returns the file. Raises ValueError if the directory holds no arrays of Orbax, DamagedError if it cannot be read.
    """
    directory = Path(directory)
    file = directory / _MANIFEST
    manifest = manifests.sealed({"arrays": manifests.digests(_read(directory))})
    replace_text(file, json.dumps(manifest, indent=1) + "\n")
    return file


def verify(directory: str | Path) -> dict[str, Any]:
    """Returns the arrays of a checkpoint, as NumPy's, once they equal the manifest.

    The directory is that of one step of a run, `WORKDIR/checkpoints/STEP`, or one with a manifest of `write_manifest`.
    The arrays are in the tree that was saved; those of a `CheckpointManager` in a dictionary of its items.

    Raises DamagedError with the names of the arrays that differ, ValueError if there is no manifest.
    """
    directory = Path(directory)
    if (directory / _MANIFEST).exists():
        content, tree = manifests.read_file(directory / _MANIFEST), _read(directory)
    elif (directory / "manifest").exists() or (directory / "state").exists():
        content = manifests.read(directory)
        tree = _arrays(directory / "state")
    elif not directory.is_dir() or (directory / "checkpoints").is_dir():
        raise ValueError(f"{directory} is not the directory of a checkpoint, such as WORKDIR/checkpoints/STEP")
    else:
        raise ValueError(f"{directory} has no manifest; senet_jax.checkpoints.write_manifest writes one")
    manifests.compare(content["arrays"], tree)
    return tree


def _read(directory: Path) -> dict[str, Any]:
    if (directory / "_METADATA").exists():
        return _arrays(directory)
    items = sorted(path.parent for path in directory.glob("*/_METADATA"))
    if not items:
        raise ValueError(f"{directory} is no checkpoint of Orbax: neither it nor a folder in it has a _METADATA")
    return {path.name: _arrays(path) for path in items}


def _arrays(path: Path) -> dict[str, Any]:
    """Returns the arrays that Orbax saved in a directory. Raises DamagedError if it cannot read them."""
    try:
        with runs.quiet(), ocp.PyTreeCheckpointer() as checkpointer:
            saved: Any = checkpointer.metadata(path.absolute())
            if saved.item_metadata is None:
                raise ValueError(f"{path / '_METADATA'} cannot be read")
            as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), saved.item_metadata.tree)
            return checkpointer.restore(path.absolute(), restore_args=as_numpy)
    except Exception as error:  # Damage raises errors of many types.
        raise DamagedError(manifests.first_line(error)) from error
