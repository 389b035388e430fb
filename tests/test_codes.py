"""Elias' code and an arithmetic one: lengths against code words that are written out, and read again."""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec import compressors as C
from jaxdec.compressors import codes


def omega(k: int) -> str:
    """The code word of a positive integer: binary numbers, each the length of the next less one, and a 0."""
    word = "0"
    while k > 1:
        word, k = f"{k:b}" + word, k.bit_length() - 1
    return word


def read(text: str) -> tuple[int, str]:
    """The integer at the beginning of a text, and the rest of it."""
    n = 1
    while text[0] == "1":
        word, text = text[: n + 1], text[n + 1 :]
        n = int(word, 2)
    return n, text[1:]


def written(levels) -> str:
    text, before = "", 0
    for place, level in enumerate(levels, 1):
        if level:
            text += omega(place - before) + ("1" if level < 0 else "0") + omega(abs(int(level)))
            before = place
    return text


def decoded(text: str, d: int) -> list[int]:
    levels, place = [0] * d, 0
    while text:
        gap, text = read(text)
        sign, (size, text) = text[0], read(text[1:])
        place += gap
        levels[place - 1] = -size if sign == "1" else size
    return levels


def test_lengths_are_those_of_the_code_words():
    numbers = [*range(1, 300), 2**16 - 1, 2**16, 2**31 - 1]
    assert codes.elias(jnp.asarray(numbers)).tolist() == [len(omega(k)) for k in numbers]
    assert all(read(omega(k) + "101") == (k, "101") for k in numbers)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_messages_are_as_long_as_what_is_written_which_can_be_read(share):
    rng = np.random.default_rng(0)
    levels = rng.integers(-40, 41, (6, 50)) * (rng.random((6, 50)) < share)
    texts = [written(row) for row in levels]
    assert codes.sparse(jnp.asarray(levels, float)).tolist() == [len(text) for text in texts]
    assert [decoded(text, 50) for text in texts] == levels.tolist()


def test_quantization_to_few_levels_takes_fewer_bits_in_elias_code_and_gives_the_same_vector():
    x, key = jax.random.normal(jax.random.key(1), (20, 1000)), jax.random.key(2)
    for levels, less in ((1, True), (100, False)):
        fixed, elias = (C.Quantization(levels=levels, code=code)(key, x) for code in ("fixed", "elias"))
        np.testing.assert_array_equal(fixed.value, elias.value)
        assert bool(elias.mean_bits < 0.4 * fixed.mean_bits) is less
    unit = np.asarray(C.Quantization(levels=1, code="elias")(key, x).value)
    sent = [written(np.sign(row).astype(int)) for row in unit]
    bits = C.Quantization(levels=1, code="elias")(key, x).bits
    np.testing.assert_array_equal(bits, [32 + len(text) for text in sent])


def test_another_code_is_refused():
    with pytest.raises(ValueError, match=r"Quantization\.code is one of 'fixed', 'elias'"):
        C.Quantization(levels=1, code="huffman").check()  # type: ignore[arg-type]


@pytest.mark.parametrize("most", [1, 4, 40])
def test_an_arithmetic_code_has_the_length_of_what_was_seen_before_each_entry(most):
    rng = np.random.default_rng(most)
    levels = rng.integers(-most, most + 1, (5, 60)) * (rng.random((5, 60)) < np.array([[0.0, 0.05, 0.3, 0.7, 1.0]]).T)
    expected = []
    for row in np.abs(levels):
        probability = Fraction(1)
        for t, size in enumerate(row):
            probability *= Fraction(1 + int(np.sum(row[:t] == size)), most + 1 + t)
        whole = math.ceil(-math.log2(probability.numerator) + math.log2(probability.denominator))
        expected.append(whole + 1 + np.count_nonzero(row))
    assert codes.arithmetic(jnp.abs(jnp.asarray(levels, float)), most).tolist() == expected


def test_an_arithmetic_code_is_near_the_entropy_where_elias_code_and_fixed_length_are_not():
    x, key = jax.random.normal(jax.random.key(1), (20, 1000)), jax.random.key(2)
    for levels in (1, 30, 100):
        fixed, elias, found = (C.Quantization(levels, code=code)(key, x) for code in ("fixed", "elias", "arithmetic"))
        np.testing.assert_array_equal(fixed.value, found.value)
        assert found.mean_bits < min(fixed.mean_bits, elias.mean_bits)
