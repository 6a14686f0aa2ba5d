import jax
import numpy as np

from senet_jax.ops import divided


def all_of_them(x):
    return {
        "parts": divided.parts(),
        "whole": divided.whole(x),
        "own": divided.own(10 * divided.whole(x)),
        "own_columns": divided.own(divided.whole(x).T, axis=1),
        "mean": divided.mean(x.mean()),
        "total": divided.total(x.sum()),
        "previous": divided.previous(x),
        "five before": divided.previous(x, 5),
    }


def test_each_part_reaches_over_the_whole_batch():
    def of_part(x):
        with divided.over("devices"):
            return all_of_them(x)

    batch = np.arange(24.0, dtype=np.float32).reshape(8, 3)
    parts = batch.reshape(4, 2, 3)
    found = jax.pmap(of_part, "devices")(parts)
    np.testing.assert_array_equal(found["parts"], [4] * 4)
    np.testing.assert_array_equal(found["whole"], [batch] * 4)
    np.testing.assert_array_equal(found["own"], 10 * parts)
    np.testing.assert_array_equal(found["own_columns"], parts.transpose(0, 2, 1))
    np.testing.assert_array_equal(found["mean"], [batch.mean()] * 4)
    np.testing.assert_array_equal(found["total"], [batch.sum()] * 4)
    np.testing.assert_array_equal(found["previous"], np.roll(batch, 1, axis=0).reshape(parts.shape))
    np.testing.assert_array_equal(found["five before"], np.roll(batch, 5, axis=0).reshape(parts.shape))


def test_a_batch_that_is_not_divided_is_whole():
    x = jax.numpy.arange(6.0).reshape(3, 2)
    found = all_of_them(x)
    assert found["parts"] == 1
    for name, expected in (("whole", x), ("own", 10 * x), ("mean", x.mean()), ("previous", jax.numpy.roll(x, 1, 0))):
        np.testing.assert_array_equal(found[name], expected)
