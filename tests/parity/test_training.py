"""One step of training against the peer's, in float64: gradients and new running statistics."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util
from parity import rule
from parity.compare import FIXTURES, build, names_and_shapes


@pytest.mark.parity
@pytest.mark.parametrize("name", sorted(path.stem for path in (FIXTURES / "training").glob("*.npz")))
def test_gradients_and_running_statistics_are_the_peers(name, tmp_path, x64):
    fingerprint = np.load(FIXTURES / f"{name}.npz")["names"]
    peer = np.load(FIXTURES / "training" / f"{name}.npz")
    model, variables = build(name, fingerprint, tmp_path, dtype=jnp.float64, param_dtype=jnp.float64)
    images = jnp.asarray(rule.images(*rule.TRAINING).transpose(0, 2, 3, 1), jnp.float64)

    def loss(params):
        logits, updated = model.apply(variables | {"params": params}, images, train=True, mutable=["batch_stats"])
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.array(rule.LABELS))
        return losses.mean(), updated

    gradients, updated = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    ours = {"/".join(path): leaf for path, leaf in traverse_util.flatten_dict({"params": gradients} | updated).items()}
    names = next(names for names, shapes in names_and_shapes(model) if rule.fingerprint(shapes) == fingerprint)
    errors = {}
    for path, leaf in ours.items():
        expected = peer[names[path]]
        order = (leaf.ndim - 1, leaf.ndim - 2, *range(leaf.ndim - 2)) if leaf.ndim > 1 else (0,)
        theirs = np.asarray(leaf).transpose(order)
        errors[path] = np.abs(rule.digest(theirs) - expected).max() / expected[0]
    assert len(errors) == len(peer.files)
    assert max(errors.values()) < 1e-8, sorted(errors.items(), key=lambda item: -item[1])[:5]
