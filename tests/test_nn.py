"""Convolution and pooling are those of `lax`, in every way, under every map and after every derivative."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from jax import lax

from jaxdec import nn
from jaxdec.nn.per_node import CHOSEN, WAYS

NHWC = ("NHWC", "HWIO", "NHWC")
rng = np.random.default_rng(0)


def normal(*shape):
    return jnp.asarray(rng.standard_normal(shape))


def derivatives(convolution, mapped, strides, padding):
    """Values, gradients and second derivatives of Σ sin(conv) under vmaps of both arguments, as one program."""

    def loss(x, w):
        return jnp.sum(jnp.sin(convolution(x, w, strides, padding, dimension_numbers=NHWC)))

    def all_of(x, w):
        grad = jax.grad(loss, (0, 1))
        return loss(x, w), grad(x, w), jax.jvp(grad, (x, w), (jnp.cos(x), jnp.sin(w)))[1]

    for axes in reversed(mapped):
        all_of = jax.vmap(all_of, axes)
    return jax.jit(all_of)


CASES = {
    "alone": ((), (), ()),
    "own kernels": (((0, 0),), (2,), (2,)),
    "shared kernel": (((0, None),), (2,), ()),
    "shared images": (((None, 0),), (), (2,)),
    "configurations of nodes": (((None, 0), (0, 0)), (2,), (3, 2)),
    "seeds of configurations of nodes": (((0, 0), (None, 0), (0, 0)), (2, 2), (2, 3, 2)),
}
OPTIONS = {
    "valid": ((1, 1), "VALID", (3, 2)),
    "same, strided": ((2, 1), "SAME", (3, 3)),
    "padded, strided, not all pixels met": ((3, 2), ((1, 2), (0, 1)), (2, 3)),
    "pointwise": ((2, 2), "VALID", (1, 1)),
}


def check(options, case, way):
    strides, padding, window = OPTIONS[options]
    mapped, of_images, of_kernels = CASES[case]
    x, w = normal(*of_images, 2, 7, 6, 2), normal(*of_kernels, *window, 2, 3)
    ours = derivatives(nn.convolution(way), mapped, strides, padding)(x, w)
    theirs = derivatives(lax.conv_general_dilated, mapped, strides, padding)(x, w)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=0, atol=1e-11), ours, theirs)


@pytest.mark.parametrize(
    ("options", "case"),
    [
        ("valid", "seeds of configurations of nodes"),
        ("same, strided", "own kernels"),
        ("padded, strided, not all pixels met", "shared images"),
        ("pointwise", "shared kernel"),
    ],
)
def test_the_chosen_way_is_the_native_convolution(options, case):
    check(options, case, None)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("options", OPTIONS)
def test_every_way_is_the_native_convolution(options, case, way):
    check(options, case, way)


def test_gradients_through_maps_and_of_gradients():
    x, w = normal(2, 5, 5, 2), normal(3, 3, 3, 2, 2)

    def total(convolution, x, w):
        each = jax.vmap(lambda w: convolution(x, w, (1, 1), "VALID", dimension_numbers=NHWC))(w)
        return jnp.sum(jnp.sin(each))

    def twice(convolution):
        norm = lambda x, w: sum(jnp.sum(g**2) for g in jax.grad(partial(total, convolution), (0, 1))(x, w))
        return jax.jit(jax.grad(norm, (0, 1)))(x, w)

    ours, theirs = twice(nn.convolution()), twice(lax.conv_general_dilated)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=0, atol=1e-10), ours, theirs)


def test_the_way_is_chosen_for_the_platform_that_is_compiled_for():
    grad = jax.jit(
        jax.vmap(jax.grad(lambda w, x: jnp.sum(nn.convolution()(x, w, (1, 1), "SAME", dimension_numbers=NHWC) ** 2)))
    )
    for platform in ("cpu", "cuda", "tpu"):
        text = jax.export.export(grad, platforms=[platform])(normal(2, 3, 3, 1, 2), normal(2, 2, 4, 4, 1)).mlir_module()
        way = CHOSEN.get(platform, CHOSEN["elsewhere"])
        assert ("while" in text) == way.endswith("map")
        assert ("stablehlo.convolution" in text) == way.startswith("native")


def test_what_is_not_covered_is_left_to_lax():
    x = normal(2, 6, 6, 4)
    for options in ({"kernel_dilation": 2}, {"feature_group_count": 4, "strides": 2}):
        ours, theirs = nn.Conv(4, (3, 3), **options), linen.Conv(4, (3, 3), **options)
        variables = theirs.init(jax.random.key(0), x)
        np.testing.assert_array_equal(ours.apply(variables, x), theirs.apply(variables, x))
    line, variables = normal(2, 9, 4), linen.Conv(3, (3,)).init(jax.random.key(0), normal(2, 9, 4))
    np.testing.assert_array_equal(nn.Conv(3, (3,)).apply(variables, line), linen.Conv(3, (3,)).apply(variables, line))


def test_conv_has_the_parameters_of_flax_in_linen_and_nnx():
    x = normal(2, 6, 6, 4)
    ours, theirs = nn.Conv(4, (3, 3), padding=1), linen.Conv(4, (3, 3), padding=1)
    variables = ours.init(jax.random.key(3), x)
    jax.tree.map(np.testing.assert_array_equal, variables, theirs.init(jax.random.key(3), x))
    np.testing.assert_allclose(ours.apply(variables, x), theirs.apply(variables, x), rtol=0, atol=1e-12)
    layer = nnx.Conv(4, 4, (3, 3), padding=1, conv_general_dilated=nn.convolution(), rngs=nnx.Rngs(0))
    layer.kernel[...], layer.bias[...] = variables["params"]["kernel"], variables["params"]["bias"]
    np.testing.assert_allclose(layer(x), theirs.apply(variables, x), rtol=0, atol=1e-12)


def test_pooling_is_that_of_flax_with_its_gradient():
    x = jnp.asarray(rng.integers(3, size=(2, 7, 6, 3)).astype(float))  # with many equal entries
    x = x.at[0, 3, 3, 0].set(jnp.nan)
    for ours, theirs in ((nn.max_pool, linen.max_pool), (nn.avg_pool, linen.avg_pool)):
        for options in (
            {"window_shape": (2, 2), "strides": (2, 2)},
            {"window_shape": (3, 2), "strides": (3, 2)},
            {"window_shape": (3, 3), "strides": (2, 2), "padding": "SAME"},
            {"window_shape": (2, 2)},
        ):
            both = [jax.jit(lambda x, f=f, o=options: f(x, **o))(x) for f in (ours, theirs)]
            np.testing.assert_allclose(*both, rtol=1e-14)
            slopes = [
                jax.jit(jax.grad(lambda x, f=f, o=options: jnp.sum(jnp.sin(f(x, **o)))))(x[1:]) for f in (ours, theirs)
            ]
            np.testing.assert_allclose(*slopes, rtol=0, atol=1e-14)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"no way of convolution 'fft'; expected one of native, .* None to choose"):
        nn.convolution("fft")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"kernel of 5 x 5 does not fit into images of 4 x 9 .* larger images"):
        nn.Conv(2, (5, 5), padding="VALID").init(jax.random.key(0), jnp.ones((1, 4, 9, 1)))
    with pytest.raises(ValueError, match=r"window of 2 x 2 does not fit into images of 1 x 3"):
        nn.max_pool(jnp.ones((1, 1, 3, 1)), (2, 2), strides=(2, 2))
