"""Compressors keep their promises: unbiased or contractive with the stated constant, at the stated length."""

from functools import cache
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec import compressors as C
from jaxdec.compressors.largest import largest
from jaxdec.loop import cast

pytestmark = pytest.mark.sampled(12)

DRAWS = 20_000
BLOCKS = (14, 6, 3, 1)
D = sum(BLOCKS)
ENDS = np.cumsum((0, *BLOCKS))
VECTOR = np.random.default_rng(0).standard_normal(D) * np.repeat([1.0, 10.0, 0.1, 1.0], BLOCKS)
KEY = jax.random.key(0)

UNBIASED = [
    C.Identity(),
    C.Quantization(levels=1),
    C.Quantization(levels=4),
    C.Quantization(levels=3, norm="linf"),
    C.Quantization(levels=2, per_block=True),
    C.Quantization(levels=2, norm="linf", per_block=True),
    C.RandK(k=5),
    C.RandK(k=(5, 2, 2, 1), per_block=True),
    C.RandP(p=0.3),
    C.NaturalCompression(),
    C.NaturalDithering(levels=3),
    C.NaturalDithering(levels=2, norm="linf", per_block=True),
    C.ternary(),
]
BIASED = [
    C.TopK(k=5),
    C.TopK(k=1, per_block=True),
    C.ScaledSign(),
    C.ScaledSign(per_block=True),
    C.Scaled(C.Quantization(levels=2)),
    C.Scaled(C.Quantization(levels=1, per_block=True)),
    C.Scaled(C.RandK(k=5)),
    C.Scaled(C.RandP(p=0.3)),
]
ALL = UNBIASED + BIASED


@jax.jit
def compress(compressors, key, x):
    """The messages of many compressors in one program, for it is compilation that takes time."""
    return [compressor(key, x, BLOCKS) for compressor in compressors]


@cache
def draws(one_vector):
    """DRAWS messages of every compressor, of one vector or of as many random ones: the rows, and what they became."""
    rows = jnp.tile(VECTOR, (DRAWS, 1)) if one_vector else jax.random.normal(KEY, (DRAWS, D)) * VECTOR[None]
    values = [np.asarray(m.value) for m in compress(ALL, jax.random.key(1), rows)]
    return np.asarray(rows), dict(zip(ALL, values, strict=True))


def parts(compressor, x):
    """The vectors that are compressed on their own."""
    inner = getattr(compressor, "compressor", compressor)
    return np.split(x, ENDS[1:-1], axis=-1) if getattr(inner, "per_block", False) else [x]


def variance(compressor, x):
    """E (C(x)_j - x_j)² of each entry j, from the definitions."""
    match compressor:
        case C.Identity():
            return np.zeros(D)
        case C.RandP():
            return x**2 * (1 - compressor.p) / compressor.p
        case C.RandK(per_block=False):
            return x**2 * (D / compressor.k - 1)
        case C.RandK():
            return x**2 * np.repeat([d / k - 1 for d, k in zip(BLOCKS, compressor.k, strict=True)], BLOCKS)
        case C.NaturalCompression():
            low = 2 ** np.floor(np.log2(np.abs(x)))
            return (np.abs(x) - low) * (2 * low - np.abs(x))
    order = {"l2": 2, "linf": np.inf}[compressor.norm]
    norm = np.concatenate([np.full(len(v), np.linalg.norm(v, order)) for v in parts(compressor, x)])
    if isinstance(compressor, C.NaturalDithering):
        y, least = np.abs(x) / norm, 2.0 ** (1 - compressor.levels)
        low = np.where(y < least, 0, 2 ** np.floor(np.log2(y)))
        return norm**2 * (y - low) * (np.where(y < least, least, 2 * low) - y)
    f = compressor.levels * np.abs(x) / norm % 1
    return (norm / compressor.levels) ** 2 * f * (1 - f)


def agrees(samples, mean):
    """Whether the mean of the samples is within three standard errors."""
    return abs(np.mean(samples) - mean) <= 3 * np.std(samples) / np.sqrt(len(samples)) + 1e-12


@pytest.mark.parametrize("compressor", UNBIASED, ids=repr)
def test_unbiased_compressors_have_mean_x_the_exact_variance_and_independent_rows(compressor):
    rows, values = draws(one_vector=True)
    e, exact = values[compressor] - rows, variance(compressor, VECTOR)
    random = exact > 1e-12
    np.testing.assert_allclose(e[:, ~random], 0, atol=1e-12)
    # The squared z-scores of the entries' means have mean 1: more would be a bias or rows that depend on each other.
    z = np.mean(e[:, random], axis=0) / np.sqrt(exact[random] / DRAWS)
    assert not random.any() or abs(np.mean(z**2) - 1) <= 3 * np.sqrt(2 / random.sum())
    assert agrees(np.sum(e**2, axis=1), np.sum(exact))
    assert agrees(np.sum(e[::2] * e[1::2], axis=1), 0)


@pytest.mark.parametrize("compressor", UNBIASED, ids=repr)
def test_omega_bounds_the_variance_of_every_vector_that_is_compressed_on_its_own(compressor):
    omega = np.broadcast_to(compressor.omega(BLOCKS), D)
    for x in np.random.default_rng(1).standard_normal((50, D)) ** 3:
        for v, w, bound in zip(*(parts(compressor, a) for a in (x, variance(compressor, x), omega)), strict=True):
            assert np.ptp(bound) == 0
            assert np.sum(w) <= bound[0] * np.sum(v**2) * (1 + 1e-12)
            if isinstance(compressor, C.RandK | C.RandP):
                np.testing.assert_allclose(np.sum(w), bound[0] * np.sum(v**2), rtol=1e-12)


@pytest.mark.parametrize(("d", "levels"), [(2, 1), (24, 1), (24, 7), (1024, 2)])
def test_omega_of_the_linf_norm_is_attained(d, levels):
    omega = float(C.Quantization(levels=levels, norm="linf").omega((d,)))
    x = np.full(d, 1 / (2 * levels * (1 + omega)))
    x[0] = 1
    f = levels * x % 1
    np.testing.assert_allclose(np.sum(f * (1 - f)) / levels**2, omega * np.sum(x**2), rtol=1e-12)


def test_natural_compressors_round_to_powers_of_two_and_their_omega_is_attained():
    _, values = draws(one_vector=True)
    for compressor in (UNBIASED[9], UNBIASED[10]):
        assert isinstance(compressor, C.NaturalCompression | C.NaturalDithering)
        value = values[compressor][:50]
        if isinstance(compressor, C.NaturalDithering):
            value = np.abs(value) / np.linalg.norm(VECTOR)
            assert set(np.round(np.log2(value[value > 0]), 9)) <= {0.0, -1.0, -2.0}
        else:
            np.testing.assert_array_equal(np.frexp(np.abs(value))[0], 0.5)
    third = np.full(D, 4 / 3) * 2.0 ** np.arange(-12, D - 12)
    np.testing.assert_allclose(np.sum(variance(UNBIASED[9], third)), np.sum(third**2) / 8, rtol=1e-12)
    l = 2.0 ** (1 - 3)
    for d, bound in ((4, 4 * l**2 / 4), (10_000, 100 * l)):
        np.testing.assert_allclose(C.NaturalDithering(levels=3).omega((d,)), 1 / 8 + bound, rtol=1e-12)


def test_at_the_same_length_natural_dithering_sends_small_entries_better_than_quantization():
    dither, uniform = C.NaturalDithering(levels=4), C.Quantization(levels=4)
    x = np.random.default_rng(3).standard_normal(1024) ** 3
    assert dither(KEY, jnp.asarray(x)[None]).mean_bits == uniform(KEY, jnp.asarray(x)[None]).mean_bits
    y = np.abs(x) / np.linalg.norm(x)
    f = 4 * y % 1
    low = np.where(y < 1 / 8, 0, 2 ** np.floor(np.log2(y)))
    assert np.sum((y - low) * (np.where(y < 1 / 8, 1 / 8, 2 * low) - y)) < 0.6 * np.sum(f * (1 - f)) / 16


def test_omega_of_the_l2_norm():
    found = [round(float(C.Quantization(levels=s).omega((124,))), 3) for s in (1, 2, 4, 16)]
    assert found == [11.136, 5.568, 2.784, 0.484]
    per_block = C.Quantization(levels=2, per_block=True).omega(BLOCKS)
    np.testing.assert_allclose(per_block, np.repeat([min(d / 4, np.sqrt(d) / 2) for d in BLOCKS], BLOCKS), rtol=1e-15)


def test_quantization_of_one_gaussian_vector_at_several_levels_from_the_same_draws():
    x = np.random.default_rng(2).standard_normal(124)
    levels = np.array([1.0, 2.0, 4.0, 16.0])

    @jax.jit
    @jax.vmap
    def at(levels):
        value = C.Quantization(levels)(KEY, jnp.tile(x, (DRAWS, 1))).value
        return jnp.sum((value - x[None]) ** 2, axis=1) / jnp.sum(x**2), jnp.sum(value != 0, axis=1), value[:3]

    error, nonzeros, first = map(np.asarray, at(levels))
    ratio = np.abs(x) / np.linalg.norm(x)
    u = np.asarray(jax.random.uniform(KEY, (DRAWS, 124)))[:3]
    for s, e, m, value in zip(levels, error, nonzeros, first, strict=True):
        f = s * ratio % 1
        assert agrees(e, np.sum(f * (1 - f)) / s**2)
        assert agrees(m, np.sum(np.minimum(1, s * ratio)))
        expected = np.linalg.norm(x) * np.sign(x) * np.floor(s * ratio + u) / s
        np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_the_variance_of_quantizing_gaussian_vectors_to_a_number_of_bits():
    x = jax.random.normal(KEY, (100, 1024))

    @jax.jit
    def relative_variance(compressor):
        error = compressor(jax.random.key(1), x).value - x
        return jnp.mean(jnp.sum(error**2, axis=1) / jnp.sum(x**2, axis=1))

    for norm, table in {
        "l2": {4: 2.65, 5: 0.757, 6: 0.178, 8: 0.0106},
        "linf": {3: 0.2285, 4: 0.0415, 5: 0.009, 8: 1.2e-4},
    }.items():
        found = [float(relative_variance(C.Quantization(C.levels_for_bits(bits), norm))) for bits in table]
        np.testing.assert_allclose(found, list(table.values()), rtol=0.1)


@pytest.mark.parametrize("compressor", BIASED, ids=repr)
def test_biased_compressors_contract_every_vector_that_is_compressed_on_its_own(compressor):
    rows, values = draws(one_vector=False)
    e, delta = values[compressor] - rows, np.broadcast_to(compressor.delta(BLOCKS), D)
    for v, w, bound in zip(*(parts(compressor, a) for a in (rows, e, delta)), strict=True):
        relative = np.sum(w**2, axis=1) / np.sum(v**2, axis=1)
        if not isinstance(compressor, C.Scaled):  # then nothing is random
            assert np.all(relative <= 1 - bound[0] + 1e-12)
        elif isinstance(compressor.compressor, C.Quantization):
            assert np.mean(relative) <= 1 - bound[0] + 1e-12
        else:
            assert agrees(relative, 1 - bound[0])


def test_sign_contracts_by_the_density_and_top_k_keeps_the_largest():
    rows, values = draws(one_vector=False)
    x, sign, top = rows[:50], values[BIASED[2]][:50], values[BIASED[0]][:50]
    density = np.sum(np.abs(x), axis=1) ** 2 / (D * np.sum(x**2, axis=1))
    np.testing.assert_allclose(np.sum((sign - x) ** 2, axis=1), (1 - density) * np.sum(x**2, axis=1), rtol=1e-12)
    np.testing.assert_array_equal(np.sign(sign), np.sign(x))
    threshold = np.sort(np.abs(x), axis=1)[:, -5][:, None]
    np.testing.assert_array_equal(top, np.where(np.abs(x) >= threshold, x, 0))


def test_sparsifiers_for_more_keep_what_they_keep_for_less_and_count_exactly():
    x = jnp.tile(VECTOR, (100, 1))
    pairs = ((C.RandK(k=3), C.RandK(k=9)), (C.RandP(p=0.2), C.RandP(p=0.6)), (C.TopK(k=3), C.TopK(k=9)))
    kept = [np.asarray(m.value != 0) for m in compress([c for pair in pairs for c in pair], KEY, x)]
    for fewer, more in zip(kept[::2], kept[1::2], strict=True):
        assert np.all(fewer <= more)
        assert np.sum(fewer) < np.sum(more)
    assert [set(np.sum(kept[i], axis=1)) for i in (0, 1, 4, 5)] == [{3}, {9}, {3}, {9}]
    _, values = draws(one_vector=True)
    for part, k in zip(parts(UNBIASED[7], values[UNBIASED[7]]), (5, 2, 2, 1), strict=True):
        assert np.all(np.sum(part != 0, axis=1) == k)


def test_zero_is_sent_as_zero_and_divergence_stays_in_its_row_under_vmap_as_alone():
    x = jnp.stack([jnp.zeros(D), VECTOR, jnp.full(D, jnp.nan), jnp.zeros(D).at[0].set(1.0)])
    keys = jax.random.split(KEY, 2)
    batched = jax.jit(jax.vmap(compress, (None, 0, None)))(ALL, keys, x)
    alone = [compress(ALL, key, x) for key in keys]
    for i, compressor in enumerate(ALL):
        value, bits = map(np.asarray, batched[i])
        assert np.all(value[:, 0] == 0), compressor
        assert np.all(np.any(value[:, 1] != 0, axis=1)), compressor
        assert np.all(np.any(np.isnan(value[:, 2]), axis=1)), compressor
        assert np.all(np.isfinite(value[:, [0, 1, 3]])), compressor
        assert np.all(np.isfinite(bits)), compressor
        for j in range(2):
            np.testing.assert_allclose(value[j], alone[j][i].value, rtol=1e-13, err_msg=repr(compressor))
            np.testing.assert_array_equal(bits[j], alone[j][i].bits, err_msg=repr(compressor))
    np.testing.assert_allclose(ALL[1](keys[0], x).value, alone[0][1].value, rtol=1e-13)  # without jit


def test_compressing_per_block_is_compressing_each_block():
    x = jax.random.normal(KEY, (50, D)) * VECTOR[None]
    masked = [jnp.zeros_like(x).at[:, a:b].set(x[:, a:b]) for a, b in pairwise(ENDS)]

    @jax.jit
    def both(x, masked):
        found = []
        for norm in ("l2", "linf"):  # the same draws: only the norm tells a block from the whole
            whole, per_block = (C.Quantization(2, norm, per_block=p) for p in (False, True))
            alone = [whole(KEY, v).value[:, a:b] for v, (a, b) in zip(masked, pairwise(ENDS), strict=True)]
            found.append((per_block(KEY, x, BLOCKS).value, jnp.concatenate(alone, axis=1)))
            found.append((per_block(KEY, x, (D,)).value, whole(KEY, x).value))
        for whole, per_block in ((C.TopK(1), C.TopK(1, True)), (C.ScaledSign(), C.ScaledSign(True))):
            alone = [whole(KEY, x[:, a:b]).value for a, b in pairwise(ENDS)]
            found.append((per_block(KEY, x, BLOCKS).value, jnp.concatenate(alone, axis=1)))
        return found

    for per_block, each in both(x, masked):
        np.testing.assert_allclose(per_block, each, rtol=1e-12)


@pytest.mark.parametrize("compressor", ALL, ids=repr)
def test_float32_stays_float32(compressor):
    x = jnp.ones((2, D), jnp.float32)
    for same in (compressor, cast(compressor, jnp.float32)):
        assert jax.eval_shape(lambda c, x: c(KEY, x, BLOCKS).value, same, x).dtype == jnp.float32
        constant = same.omega(BLOCKS) if same.unbiased else same.delta(BLOCKS)
        assert jnp.result_type(x, constant) == jnp.float32


def test_levels_are_traced():
    traces = []

    @jax.jit
    def count(compressor):
        traces.append(1)
        return compressor.omega((9,))

    for s in (1, 2, 4.0, np.int64(8), np.float32(16)):
        count(cast(C.Quantization(levels=s), jnp.float64))
    assert len(traces) == 1


def test_length_of_the_messages():
    lengths = {
        C.Identity(): 32 * D,
        C.RandK(k=5): 5 * 32,
        C.RandK(k=1, per_block=True): 4 * 32,
        C.TopK(k=5): 5 * (32 + 5),
        C.TopK(k=1, per_block=True): 4 * 32 + 4 + 3 + 2 + 0,
        C.NaturalCompression(): 9 * D,
        C.ScaledSign(): D + 32,
        C.ScaledSign(per_block=True): D + 4 * 32,
        C.Scaled(C.RandK(k=5)): 5 * 32,
    }
    found = []
    jax.eval_shape(lambda x: [found.append(c(KEY, x, BLOCKS).mean_bits) for c in lengths], jnp.ones((2, D)))
    assert found == list(lengths.values())
    assert all(isinstance(bits, int) for bits in found)

    compressors = [C.Quantization(1), C.Scaled(C.Quantization(4, per_block=True)), C.RandP(0.3)]
    whole, per_block, random = compress(compressors, KEY, jnp.tile(VECTOR, (7, 1)))
    assert whole.mean_bits == 32 + np.ceil(D * np.log2(3))
    assert per_block.mean_bits == sum(32 + np.ceil(d * np.log2(9)) for d in BLOCKS)
    np.testing.assert_array_equal(random.bits, 32 * np.count_nonzero(random.value, axis=1))
    assert random.mean_bits == np.mean(random.bits)
    assert len(set(np.asarray(random.bits))) > 1


def test_bits_of_the_mcm_code():
    found = [[round(C.bits_authors(20, d, s), 2) for s in (1, 2, 0)] for d in (20, 124)]
    assert found == [[1035.70, 1558.77, 12800], [3336.25, 5415.04, 79360]]
    assert C.bits_authors(20, (20, 124), 1) == C.bits_authors(20, 20, 1) + C.bits_authors(20, 124, 1)


def test_levels_for_bits_leave_a_bit_for_the_sign():
    assert [C.levels_for_bits(b) for b in (2, 3, 4, 8)] == [1, 3, 7, 127]
    with pytest.raises(ValueError, match=r"at least 2; got 1"):
        C.levels_for_bits(1)


@pytest.mark.parametrize(
    ("compressor", "message"),
    [
        (C.Quantization(levels=0), r"levels is an integer of at least 1; got 0.*Identity"),
        (C.Quantization(levels=1.5), r"got 1.5"),
        (C.Quantization(levels=np.nan), r"got nan"),
        (C.Quantization(levels=1, norm="l1"), r"norm is one of 'l2', 'linf'; got 'l1'"),  # type: ignore[arg-type]
        (C.NaturalDithering(levels=0), r"NaturalDithering.levels is an integer of at least 1; got 0"),
        (C.NaturalDithering(levels=2, norm="l1"), r"NaturalDithering.norm is one of"),  # type: ignore[arg-type]
        (C.RandP(p=0.0), r"probability in \(0, 1\]; got 0.0"),
        (C.RandP(p=1.1), r"got 1.1"),
        (C.RandK(k=0), r"RandK.k is an integer of at least 1; got 0"),
        (C.TopK(k=2.5), r"TopK.k is an integer of at least 1; got 2.5"),  # type: ignore[arg-type]
        (C.TopK(k=(2, 0), per_block=True), r"TopK.k .* got 0"),
        (C.Scaled(C.TopK(k=1)), r"Scaled needs an unbiased compressor, and TopK is biased"),
        (C.Scaled(C.RandP(p=2)), r"got 2"),
    ],
    ids=repr,
)
def test_wrong_fields_are_refused(compressor, message):
    for refuse in (compressor.check, lambda: C.require_contractive(compressor, "EF")):
        with pytest.raises(ValueError, match=message):
            refuse()


@pytest.mark.parametrize(
    ("compressor", "blocks", "message"),
    [
        (C.TopK(k=5), None, r"TopK.k = 5 does not fit vectors of sizes \(4,\)"),
        (C.RandK(k=2, per_block=True), (3, 1), r"RandK.k = 2 does not fit vectors of sizes \(3, 1\)"),
        (C.RandK(k=(1, 1, 1), per_block=True), (3, 1), r"RandK.k = \(1, 1, 1\) does not fit"),
        (C.ScaledSign(per_block=True), None, r"pass blocks=problem.blocks"),
        (C.Quantization(levels=1, per_block=True), (3, 2), r"blocks \(3, 2\), of 5 entries in all, for vectors of 4"),
    ],
    ids=repr,
)
def test_what_does_not_fit_the_vectors_is_refused(compressor, blocks, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda x: compressor(KEY, x, blocks), jnp.ones((2, 4)))


def test_algorithms_refuse_compressors_that_they_cannot_use():
    for compressor in UNBIASED:
        C.require_unbiased(compressor, "MCM")
    for compressor in [*BIASED, C.Identity()]:
        C.require_contractive(compressor, "CHOCO")
    with pytest.raises(ValueError, match=r"MCM needs an unbiased compressor, and TopK is biased.*error feedback"):
        C.require_unbiased(C.TopK(k=1), "MCM")
    with pytest.raises(ValueError, match=r"CHOCO needs a contractive compressor.*Scaled\(Quantization\(...\)\)"):
        C.require_contractive(C.Quantization(levels=1), "CHOCO")
    for wrong in (C.TopK, None, "top-k"):
        with pytest.raises(TypeError, match=r"MCM needs a compressor"):
            C.require_unbiased(wrong, "MCM")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_k_largest_are_those_of_a_stable_sort_however_they_are_found(dtype):
    rng = np.random.default_rng(0)
    for n, d in ((3, 1), (4, 7), (2, 1024), (2, 1500)):
        draws = rng.random((n, d))
        for scores in (draws, np.zeros((n, d)), np.round(3 * draws), np.full((n, d), np.inf)):
            scores = scores.astype(dtype)
            for k in sorted({1, max(1, d // 10), max(1, d // 2), d}):
                expected = np.zeros((n, d), bool)
                np.put_along_axis(expected, np.argsort(-scores, axis=1, kind="stable")[:, :k], True, axis=1)
                np.testing.assert_array_equal(largest(jnp.asarray(scores), k), expected)
