"""One training step, compiled as the training loop compiles it, against the peer's in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compilation import quickly
from flax import traverse_util
from parity import rule
from parity.compare import FIXTURES, build, names_and_shapes

from senet_jax.config import DataConfig, Experiment
from senet_jax.training import bad_steps, metrics, parallel
from senet_jax.training.state import TrainState
from senet_jax.training.step import make_train_step


@pytest.mark.slow
@pytest.mark.optimised
@pytest.mark.parametrize("name", sorted(path.stem for path in (FIXTURES / "training").glob("*.npz")))
def test_gradients_and_running_statistics_are_the_peers(name, tmp_path, x64):
    peer = dict(np.load(FIXTURES / "training" / f"{name}.npz"))
    fingerprint = peer.pop("names")
    optimizer = optax.sgd(0.1, momentum=0.9)
    with quickly():
        fields = {"stage_sizes": rule.LAYERS, "dtype": jnp.float64, "param_dtype": jnp.float64}
        model, variables = build(name, fingerprint, tmp_path, **fields)
        momentum = optimizer.init(variables["params"])
    images = rule.images(*rule.TRAINING).transpose(0, 2, 3, 1).astype(np.float64)

    data = DataConfig("digits", mean=(0.0,) * 3, std=(1 / 255,) * 3)  # The images are normalised.
    mesh = parallel.data_mesh(jax.devices()[:1])
    state = TrainState(
        jnp.zeros((), jnp.int32),
        variables,
        momentum,
        average=None,
        sums=metrics.zeros(),
        bad=bad_steps.none(variables["params"]),
    )
    step = parallel.jit_step(make_train_step(model, optimizer, Experiment(data=data)), mesh)
    (batch,) = parallel.to_devices([{"image": images, "label": np.array(rule.LABELS, np.int32)}], mesh)
    new = step(jax.device_put(state, parallel.replicated(mesh)), batch)
    gradients, updated = new.optimizer_state[0].trace, {"batch_stats": new.variables["batch_stats"]}
    ours = {"/".join(path): leaf for path, leaf in traverse_util.flatten_dict({"params": gradients} | updated).items()}
    names = next(names for names, shapes in names_and_shapes(model) if rule.fingerprint(shapes) == fingerprint)
    errors = {}
    for path, leaf in ours.items():
        expected = peer[names[path]]
        order = (leaf.ndim - 1, leaf.ndim - 2, *range(leaf.ndim - 2)) if leaf.ndim > 1 else (0,)
        theirs = np.asarray(leaf).transpose(order)
        errors[path] = np.abs(rule.digest(theirs) - expected).max() / expected[0]
    assert len(errors) == len(peer)
    assert max(errors.values()) < 1e-8, sorted(errors.items(), key=lambda item: -item[1])[:5]
