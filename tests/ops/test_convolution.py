"""The convolution's value and gradients against XLA's own, in all forms that CPUs have for it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilation import quickly
from jax.sharding import NamedSharding, PartitionSpec

from senet_jax import ops
from senet_jax.ops import by_platform, cpu_convolution, onednn
from senet_jax.ops.windows import Window, xla_convolution, xla_input_gradient
from senet_jax.planning import hlo, topologies
from senet_jax.training.parallel import data_mesh

pytestmark = pytest.mark.optimised

FORMS = {
    "3x3, odd": ((2, 9, 7, 64), (3, 3, 64, 66), {"padding": 1}),
    "3x3, one example, no padding": ((1, 8, 8, 64), (3, 3, 64, 64), {}),
    "3x3, uneven padding": ((1, 8, 9, 64), (3, 3, 64, 64), {"padding": ((3, 1), (0, 2))}),
    "3x3, few channels": ((2, 8, 9, 3), (3, 3, 3, 5), {"padding": 1}),
    "3x3, stride 2": ((2, 8, 9, 20), (3, 3, 20, 5), {"stride": 2, "padding": 1}),
    "3x3, dilated": ((2, 9, 9, 64), (3, 3, 64, 64), {"dilation": 2, "padding": 2}),
    "3x3, cropped": ((2, 9, 8, 6), (3, 3, 6, 5), {"padding": ((-1, 0), (-2, 0))}),
    "1x1": ((2, 9, 5, 5), (1, 1, 5, 7), {}),
    "1x1, stride 2": ((2, 9, 6, 5), (1, 1, 5, 7), {"stride": 2}),
    "1x1, padded": ((2, 5, 5, 5), (1, 1, 5, 7), {"padding": 1}),
    "1x7": ((1, 5, 9, 20), (1, 7, 20, 5), {"padding": ((0, 0), (3, 3))}),
    "7x7, stride 2": ((2, 11, 12, 3), (7, 7, 3, 8), {"stride": 2, "padding": 3}),
    "grouped": ((2, 8, 7, 48), (3, 3, 8, 96), {"groups": 6, "padding": 1}),
    "grouped, 1x1": ((2, 5, 6, 12), (1, 1, 4, 6), {"groups": 3}),
    "grouped, wide": ((1, 6, 6, 120), (3, 3, 40, 120), {"groups": 3, "padding": 1}),
    "grouped, stride 2": ((2, 9, 8, 64), (3, 3, 4, 64), {"groups": 16, "padding": 1, "stride": 2}),
    "depthwise": ((2, 8, 9, 6), (3, 3, 1, 6), {"groups": 6, "padding": 1}),
    "depthwise, stride 2": ((2, 9, 8, 6), (3, 3, 1, 6), {"groups": 6, "padding": "SAME", "stride": 2}),
    "depthwise, dilated": ((1, 9, 9, 6), (3, 3, 1, 6), {"groups": 6, "padding": 2, "dilation": 2}),
    "depthwise, two for one": ((2, 7, 7, 6), (3, 3, 1, 12), {"groups": 6, "padding": 1}),
}

QUICK = ("3x3, odd", "3x3, stride 2", "1x1", "grouped", "depthwise")
"""Run in the inner loop too."""


def operands(form, dtype=jnp.float32):
    x, kernel, settings = FORMS[form]
    return *(jnp.asarray(np.random.default_rng(0).standard_normal(shape), dtype) for shape in (x, kernel)), settings


@partial(jax.jit, static_argnames=("stride", "padding", "dilation", "groups", "lowering"))
def value_and_gradients(x, kernel, **settings):
    y, backward = jax.vjp(lambda x, kernel: ops.convolution(x, kernel, **settings), x, kernel)
    return y, *backward(jnp.cos(3 * jnp.arange(y.size, dtype=x.dtype)).reshape(y.shape))


def by_xla(x, kernel, **settings):
    """XLA's own form, an independent program."""
    with quickly():
        return value_and_gradients(x, kernel, lowering="xla", **settings)


def assert_close(ours, theirs, tolerance):
    for our, their in zip(ours, theirs, strict=True):
        assert our.dtype == their.dtype
        scale = np.abs(np.asarray(their, np.float64)).max()
        np.testing.assert_allclose(*(np.asarray(z, np.float64) / scale for z in (our, their)), rtol=0, atol=tolerance)


BY_SPEED = [form if form in QUICK else pytest.param(form, marks=pytest.mark.slow) for form in FORMS]


@pytest.mark.parametrize("form", BY_SPEED)
def test_float64(form, x64):
    x, kernel, settings = operands(form, jnp.float64)
    theirs = by_xla(x, kernel, **settings)
    assert_close(value_and_gradients(x, kernel, **settings), theirs, 1e-13)


@pytest.mark.parametrize("form", BY_SPEED)
def test_float32(form):
    x, kernel, settings = operands(form)
    theirs = by_xla(x, kernel, **settings)
    assert_close(value_and_gradients(x, kernel, **settings), theirs, 2e-6)


@pytest.mark.parametrize("form", ["3x3, odd", "3x3, stride 2", "grouped", "7x7, stride 2"])
def test_a_kernel_gradient_is_summed_over_parts_of_the_batch(form, monkeypatch):
    x, kernel, settings = operands(form)
    x = jnp.concatenate([x, -2 * x])
    theirs = by_xla(x, kernel, **settings)
    monkeypatch.setattr(cpu_convolution, "_CHUNK", 1)
    assert_close(jax.jit(lambda *arrays: value_and_gradients(*arrays, **settings))(x, kernel), theirs, 2e-6)


@pytest.mark.parametrize("form", ["3x3, odd", "7x7, stride 2"])
def test_a_map_that_is_smaller_than_the_kernel_gives_nothing(form):
    x, kernel, settings = operands(form)
    assert value_and_gradients(x[:, :2, :2], kernel, **settings | {"padding": 0})[0].size == 0


@pytest.mark.parametrize("lowering", ["platform", "portable"])
@pytest.mark.parametrize("form", ["3x3, stride 2", "grouped, stride 2", "7x7, stride 2"])
def test_a_map_with_fewer_rows_than_the_stride(form, lowering):
    maps, kernel, settings = operands(form)
    for columns in (1, 3):
        x = maps[:, :1, :columns]
        theirs = by_xla(x, kernel, **settings)
        assert_close(value_and_gradients(x, kernel, lowering=lowering, **settings), theirs, 2e-6)


@pytest.mark.parametrize("shape", [(0, 8, 8, 4), (2, 8, 8, 4)])
def test_an_empty_batch_or_nothing_to_compute(shape):
    x, kernel = jnp.ones(shape), jnp.ones((3, 3, 4, 5))
    y, by_input, by_kernel = value_and_gradients(x, kernel, padding=1)
    assert (y.shape, by_input.shape) == ((*shape[:3], 5), shape)
    assert bool(by_kernel.any()) == bool(shape[0])


def test_an_exported_program_has_the_forms_of_xla():
    _, kernel, settings = operands("grouped")
    batch = jax.export.symbolic_shape("b, 8, 7, 48")
    program = jax.jit(lambda x: ops.convolution(x, kernel, **settings))
    for shape in (batch, (2, 8, 7, 48)):
        exported = jax.export.export(program, platforms=("cpu", "cuda", "tpu"))(
            jax.ShapeDtypeStruct(shape, jnp.float32)
        )
        assert "onednn" not in exported.mlir_module()
    x = operands("grouped")[0]
    assert_close([jax.jit(exported.call)(x)], [program(x)], 2e-6)


@pytest.mark.skipif(not onednn.serves(jnp.float32), reason="oneDNN's calls are tried on x86-64 Linux alone")
def test_devices_that_were_divided_by_shard_map_have_those_of_onednn():
    x, kernel, settings = operands("3x3, odd")
    kernel /= 100  # The sine of large numbers would magnify rounding.
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))

    specs = {"in_specs": (PartitionSpec("data"), PartitionSpec()), "out_specs": PartitionSpec()}

    @partial(jax.shard_map, mesh=mesh, check_vma=False, **specs)
    def gradient(x, kernel):
        own = jax.grad(lambda kernel: jnp.sin(ops.convolution(x, kernel, **settings)).sum())(kernel)
        return jax.lax.psum(own, "data")

    assert jax.jit(gradient).lower(x, kernel).as_text().count("__onednn$convolution") == 2
    whole = jax.grad(lambda kernel: jnp.sin(ops.convolution(x, kernel, lowering="xla", **settings)).sum())(kernel)
    assert_close([jax.jit(gradient)(x, kernel)], [whole], 2e-6)
    of_sum = jax.grad(lambda kernel, x: jnp.sin(ops.convolution(x, kernel, **settings)).sum())
    by_default = jax.shard_map(lambda x, kernel: of_sum(kernel, x), mesh=mesh, **specs)
    assert_close([jax.jit(by_default)(x, kernel)], [whole], 2e-6)


@pytest.mark.parametrize("form", ["3x3, odd", "1x1", "grouped", "depthwise"])
def test_bfloat16_differs_by_its_last_rounding(form):
    x, kernel, settings = operands(form, jnp.bfloat16)
    ours = value_and_gradients(x, kernel, **settings)
    theirs = by_xla(x, kernel, **settings)
    assert_close(ours, theirs, 2**-8)


def operations(form, platform, **settings):
    x, kernel, own = operands(form)
    program = jax.jit(lambda x, kernel: value_and_gradients(x, kernel, **own, **settings))
    text = program.trace(x, kernel).lower(lowering_platforms=(platform,)).as_text()
    return text.count("stablehlo.convolution"), text.count("__onednn$convolution"), text.count("__onednn$matmul")


@pytest.mark.parametrize("form", ["3x3, odd", "1x1", "grouped", "depthwise"])
@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_accelerators_use_the_forms_of_xla(form, platform):
    assert operations(form, platform) == (3, 0, 0)


@pytest.mark.skipif(not onednn.serves(jnp.float32), reason="oneDNN's calls are tried on x86-64 Linux alone")
def test_cpus_have_those_of_onednn_unless_they_are_refused():
    assert operations("3x3, odd", "cpu") == (0, 3, 0)
    assert operations("3x3, stride 2", "cpu") == (0, 6, 0)
    assert operations("3x3, odd", "cpu", lowering="portable") == (2, 0, 0)
    assert operations("1x1", "cpu", lowering="portable") == (0, 0, 0)
    assert operations("depthwise", "cpu") == (0, 0, 1)


@pytest.mark.parametrize("form", ["3x3, odd", "grouped, stride 2"])
def test_under_vmap_and_checkpoint(form):
    x, kernel, settings = operands(form)

    def own(x):
        return jax.checkpoint(lambda x, kernel: value_and_gradients(x, kernel, **settings)[1])(x, kernel)

    each = jnp.stack([jax.jit(own)(part[None]) for part in x])
    assert_close([jax.jit(jax.vmap(own))(x[:, None])], [each], 2e-6)


@pytest.mark.parametrize("form", ["3x3, odd", "3x3, stride 2", "1x1, stride 2", "grouped", "depthwise"])
def test_devices_that_share_a_batch_exchange_only_the_kernels_gradient(form):
    x, kernel, settings = operands(form)
    x = jnp.concatenate([x, -2 * x, x + 1, x])[:4]
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded, replicated = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (["data"], []))
    program = jax.jit(
        lambda x, kernel: value_and_gradients(x, kernel, **settings),
        in_shardings=(sharded, replicated),
        out_shardings=(sharded, sharded, replicated),
    )
    text = program.lower(x, kernel).compile().as_text() or ""
    assert text.count(" all-reduce(") == 1
    assert "conditional" not in text
    assert not [kind for kind in ("all-gather", "all-to-all", "collective-permute") if kind in text]
    assert_close(program(x, kernel), by_xla(x, kernel, **settings), 2e-6)


@pytest.mark.parametrize("examples", [4, 3])
def test_a_convolution_that_is_divided_by_examples_equals_the_whole(examples):
    x, kernel, _ = operands("grouped")
    x = jnp.concatenate([x, -2 * x])[:examples]
    window = Window(padding=((1, 1), (1, 1)), groups=6)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    parts, everywhere = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (["data"] * (examples == 4), []))

    def both(divide, x, kernel):
        forward, backward = (partial(form, window=window) for form in (xla_convolution, xla_input_gradient))
        y = divide(forward, by_platform.CONVOLUTION)(x, kernel)
        return y, divide(backward, by_platform.INPUT_GRADIENT)(x, kernel, y)

    program = jax.jit(
        partial(both, by_platform.partitioned), in_shardings=(parts, everywhere), out_shardings=(parts, parts)
    )
    text = program.lower(x, kernel).compile().as_text() or ""
    assert f"f32[{1 if examples == 4 else 3},8,7,96]" in text
    assert not [kind for kind in ("all-reduce", "all-gather", "all-to-all", "collective-permute") if kind in text]
    assert_close(program(x, kernel), both(lambda form, _: form, x, kernel), 2e-6)


@pytest.mark.slow
def test_gpus_that_share_a_batch_exchange_only_the_gradient_of_a_kernel_of_groups():
    pytest.importorskip("jax_plugins.xla_cuda12")
    x, kernel, settings = operands("grouped")
    mesh = data_mesh(topologies.devices(topologies.parse("h100:2x2")))
    parts, everywhere = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (["data"], []))
    x = jax.ShapeDtypeStruct((8, *x.shape[1:]), x.dtype, sharding=parts)
    kernel = jax.ShapeDtypeStruct(kernel.shape, kernel.dtype, sharding=everywhere)
    program = jax.jit(partial(value_and_gradients, **settings), out_shardings=(parts, parts, everywhere))
    found = list(hlo.collectives(program.lower(x, kernel).compile().as_text() or ""))
    assert [(each.kind, each.bytes) for each in found] == [("all-reduce", 4 * kernel.size)]


def test_invalid_arguments_raise():
    x, kernel, _ = operands("3x3, odd")
    with pytest.raises(ValueError, match="groups is 1, x has 32 channels and the kernel takes 64 to 66"):
        ops.convolution(x[..., :32], kernel)
    with pytest.raises(ValueError, match="lowering is 'fast'; it must be one of platform, portable, xla"):
        ops.convolution(x, kernel, lowering="fast")
    for stride in (0, (2, -1)):
        with pytest.raises(ValueError, match=r"stride is .*; it must be a positive integer, or two of them"):
            ops.convolution(x, kernel, stride=stride)


def test_the_precision_is_that_at_the_call():
    """XLA's form is made when the program is lowered, after the context has ended."""
    x, kernel = jax.ShapeDtypeStruct((1, 4, 4, 3), "float32"), jax.ShapeDtypeStruct((3, 3, 3, 2), "float32")

    @jax.jit
    def gradients(x, kernel):
        with jax.default_matmul_precision("float32"):
            return jax.grad(lambda *operands: ops.convolution(*operands).sum(), (0, 1))(x, kernel)

    lowered = gradients.trace(x, kernel).lower(lowering_platforms=("tpu",)).as_text()
    assert lowered.count("stablehlo.convolution(") == lowered.count("[#stablehlo<precision HIGHEST>") == 2
