"""Modules as pytrees."""

import jax
import pytest
from jax.tree_util import tree_structure

from jaxdec import algorithms, module, static, step_size
from jaxdec._module import at_round


@module
class First:
    lr: float = step_size()
    form: str = static(default="a")


@module
class Second:
    lr: float = step_size()
    form: str = static(default="a")


def test_two_classes_of_equal_fields_have_different_structures():
    assert tree_structure(First(0.1)) != tree_structure(Second(0.1))
    assert tree_structure(algorithms.DSGD(0.1, form="cta")) != tree_structure(
        algorithms.GradientTracking(0.1, form="cta")
    )


def test_static_fields_are_structure_and_traced_fields_are_leaves():
    assert jax.tree.leaves(First(0.1, form="b")) == [0.1]
    assert tree_structure(First(0.1)) == tree_structure(First(0.2))
    assert tree_structure(First(0.1)) != tree_structure(First(0.1, form="b"))


def test_a_round_trip_through_a_tree_keeps_every_field():
    doubled = jax.tree.map(lambda leaf: 2 * leaf, First(0.25, form="b"))
    assert (type(doubled), doubled.lr, doubled.form) == (First, 0.5, "b")


def test_modules_are_frozen():
    with pytest.raises(AttributeError):
        First(0.1).lr = 0.2


def test_schedules_become_the_value_at_the_round():
    halving = jax.tree_util.Partial(lambda start, t: start * 0.5**t, 0.8)
    assert float(at_round(First(halving), 2, float).lr) == pytest.approx(0.2)
    assert at_round(First(0.1), 2, float).lr == 0.1
