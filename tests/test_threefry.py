"""Written-out random bits are those of JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec.threefry import FEW, unrolled

KEY = jax.random.key(2**31 + 7)
DRAWS = {
    "bits": jax.random.bits,
    "bytes": lambda key, shape: jax.random.bits(key, shape, "uint8"),
    "normal": jax.random.normal,
    "normal in double": lambda key, shape: jax.random.normal(key, shape, "float64"),
    "integers": lambda key, shape: jax.random.randint(key, shape, 0, 1000),
    "coins": lambda key, shape: jax.random.bernoulli(key, 0.3, shape),
    "order": lambda key, shape: jax.random.permutation(key, np.prod(shape)),
}


@pytest.mark.thinned(3)
@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize("shape", [(3,), (FEW - 1,), (FEW,), (7, 11, 30)], ids=str)
def test_every_draw_is_that_of_jax(draw, shape):
    np.testing.assert_array_equal(draw(unrolled(KEY), shape), draw(KEY, shape))


def test_keys_split_and_folded_are_those_of_jax_and_draw_alike_side_by_side():
    def drawn(key):
        first, second = jax.random.split(jax.random.fold_in(key, 5))
        return jax.vmap(lambda k: jax.random.uniform(k, (2, FEW)))(jnp.stack([first, second]))

    np.testing.assert_array_equal(jax.jit(drawn)(unrolled(KEY)), drawn(KEY))
    np.testing.assert_array_equal(jax.random.key_data(unrolled(KEY)), jax.random.key_data(KEY))


def test_another_generator_stays():
    key = jax.random.key(0, impl="rbg")
    assert unrolled(key) is key
