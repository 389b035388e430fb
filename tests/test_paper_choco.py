"""The problem and the steps of CHOCO-SGD's experiment."""

import jax.numpy as jnp
import numpy as np

from jaxdec.papers import choco


def test_rows_have_norm_one_and_the_regularizer_is_one_over_their_number():
    found = choco.problem("breast cancer", "shuffled")
    inputs = np.asarray(found.inputs)
    np.testing.assert_allclose(np.linalg.norm(inputs, axis=1), 1, rtol=1e-12)
    assert found.l2 == 1 / len(inputs)
    assert found.batch_size == 1


def test_sorted_by_label_at_most_one_node_has_both_and_the_minimum_is_that_of_the_same_data():
    shuffled, by_label = (choco.problem("breast cancer", split) for split in ("shuffled", "sorted"))
    targets = [
        np.unique(np.asarray(by_label.targets)[i[:c]]) for i, c in zip(by_label.indices, by_label.counts, strict=True)
    ]
    assert sum(len(t) > 1 for t in targets) <= 1
    assert shuffled.minimum == by_label.minimum


def test_steps_are_those_of_the_authors_code():
    m, d, t = 455, 30, 100
    method = choco.methods(m, d)[choco.PLAIN]
    np.testing.assert_allclose(method.lr(jnp.asarray(t)), 0.1 / (1 / m * (t + d)), rtol=1e-12)
