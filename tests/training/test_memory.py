"""Errors of a device whose memory is exhausted, by the texts that jax's platforms give."""

import jax
import jax.numpy as jnp
import pytest

from senet_jax.config import Experiment, ModelConfig
from senet_jax.training.memory import OutOfMemoryError, described, explained

GPU = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 21474836480 bytes.\nMore lines."
TPU = "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 18.51G of 15.75G hbm. Exceeded by 2.76G."


@pytest.mark.parametrize("text", [GPU, TPU])
def test_the_message_says_what_is_needed_what_there_is_and_what_to_lower(text):
    message = described(text, Experiment(batch_size=256), False, 20 * 2**30, 16 * 2**30)
    assert message == (
        "out of memory: a step of training with config.batch_size 256, 64 images on each of 4 device(s), needs 20.00 "
        "GiB on each device, which has 16.00 GiB; give a smaller config.batch_size, and the learning rate in "
        f"proportion, or config.model.dtype=bfloat16, or config.model.remat=true ({text.splitlines()[0]})"
    )


def test_advice_that_was_taken_is_not_given_again():
    config = Experiment(ModelConfig(dtype="bfloat16", remat=True), eval_batch_size=10)
    assert (
        "does not fit on a device; give a smaller config.batch_size, and the learning rate in proportion (RES"
        in described(TPU, config, False, None, None)
    )
    message = described(TPU, config, True, None, None)
    assert "step of evaluation with config.eval_batch_size 10, 3 images" in message
    assert "give a smaller config.eval_batch_size (RES" in message


def test_the_compiler_says_what_a_step_needs_whose_arguments_are_gone():
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
