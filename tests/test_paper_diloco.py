"""What the exhibit of DiLoCo is made of; `test_exhibits.py` judges its claims."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr

from jaxdec.papers import diloco


@pytest.mark.parametrize("steps", [100.0, 1000.0])
def test_the_learning_rate_rises_for_a_twentieth_and_falls_to_a_tenth(steps):
    optimizer, g = diloco.adamw(2.0, steps), jnp.ones(1)

    def step(state, _):
        updates, state = optimizer.update(g, state, jnp.zeros(1))
        return state, -updates[0]

    _, rates = jax.lax.scan(step, optimizer.init(jnp.zeros(1)), length=int(steps))
    first = int(steps / 20)
    assert np.all(np.diff(rates[: first - 1]) > 0)
    assert np.all(np.diff(rates[first:]) < 0)
    np.testing.assert_allclose([rates[first], rates[-1]], [2.0, 0.2], rtol=2e-2)
    assert isinstance(optimizer, optax.GradientTransformation)


def test_a_transformer_is_cut_into_its_lower_and_its_upper_half():
    names = diloco.problem(length=8, layers=2, width=8, batch_size=2).model.names
    above = {name for name, part in zip(names, diloco.fragments(names, 2), strict=True) if part}
    assert {name.split("/")[1] for name in above} == {"layer_1", "scores", "LayerNorm_0"}
    assert {name.split("/")[1] for name in {*names} - above} == {"layer_0", "places", "tokens"}


def test_methods_with_rounds_of_other_lengths_are_laid_side_by_side_by_steps():
    made = {}
    for name, each in ((diloco.SYNCHRONOUS, 1), (diloco.NOLOCO, 50)):
        rounds = np.arange(0, 101, 50) // each
        values = {"test_loss": (("algorithm", "round"), rounds[None] * each * 1.0)}
        vectors = {"vectors": (("algorithm", "round"), rounds[None] * 1.0)}
        made[name] = xr.Dataset(values, {"algorithm": [name], "round": rounds} | vectors)
    found = diloco.by_steps(xr.concat(made.values(), "algorithm", join="outer"))
    assert found["round"].values.tolist() == [0, 50, 100]
    np.testing.assert_array_equal(found["test_loss"].values, [[0, 50, 100]] * 2)
    np.testing.assert_array_equal(found["vectors"].values, [[0, 50, 100], [0, 1, 2]])
