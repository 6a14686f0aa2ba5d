"""Errors of a device whose memory is exhausted, by the texts that jax's platforms give."""

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

from senet_jax.config import Experiment, ModelConfig
from senet_jax.training import evaluation, parallel
from senet_jax.training.memory import OutOfMemoryError, described, explained

GPU = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 21474836480 bytes.\nMore lines."
TPU = "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 18.51G of 15.75G hbm. Exceeded by 2.76G."


@pytest.mark.parametrize("text", [GPU, TPU])
def test_the_message_has_need_limit_and_advice(text):
    message = described(text, Experiment(batch_size=256), False, 20 * 2**30, 16 * 2**30)
    assert message == (
        "out of memory: a step of training with config.batch_size 256, 64 images on each of 4 device(s), needs 20.00 "
        "GiB on each device, which has 16.00 GiB; give a smaller config.batch_size, and the learning rate in "
        "proportion, or config.model.dtype=bfloat16, or config.model.remat=true, or config.accumulate=2, with batch "
        f"normalisation over each part ({text.splitlines()[0]})"
    )


def test_advice_leaves_out_settings_that_are_on_already():
    config = Experiment(ModelConfig(dtype="bfloat16", remat=True), batch_size=68, eval_batch_size=10)
    assert (
        "does not fit on a device; give a smaller config.batch_size, and the learning rate in proportion (RES"
        in described(TPU, config, False, None, None)
    )
    config.batch_size, config.model.statistics_group = 64, 8
    assert "proportion, or config.accumulate=2 (RES" in described(TPU, config, False, None, None)
    message = described(TPU, config, True, None, None)
    assert "step of evaluation with config.eval_batch_size 10, 3 images" in message
    assert "give a smaller config.eval_batch_size (RES" in message


def test_the_need_of_a_step_is_known_after_its_arguments_were_donated():
    step = jax.jit(lambda x, scale: x * scale, donate_argnums=0)
    arguments = jnp.zeros(2**28 // 4), 2.0
    step(*arguments)
    with (
        pytest.raises(OutOfMemoryError, match=r"device\(s\), needs 0.25 GiB on each device; give a smaller"),
        explained(Experiment(), step, arguments),
    ):
        raise jax.errors.JaxRuntimeError(GPU)
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"), explained(Experiment(), step, arguments):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")


def test_the_end_of_the_last_evaluation_step_is_explained_too(unchecked_types, monkeypatch):
    """Steps are waited for one step late, the last one when its sums are read."""

    def exhausted(_):
        raise jax.errors.JaxRuntimeError(GPU)

    step = jax.jit(lambda variables, batch: {"count": batch})
    monkeypatch.setattr(evaluation, "make_eval_step", lambda *_: step)
    monkeypatch.setattr(evaluation.parallel, "evaluated", lambda *_: ([3], 1))
    monkeypatch.setattr(evaluation.metrics, "means", exhausted)
    dataset: Any = SimpleNamespace(test=range(3))
    evaluate = evaluation.make_evaluate(nn.Dense(1), dataset, Experiment(), parallel.data_mesh())
    with pytest.raises(OutOfMemoryError, match=r"a step of evaluation with config\.eval_batch_size 500"):
        evaluate({})
