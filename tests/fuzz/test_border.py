"""What enters the library through ClientEstimates, in every wrong form: refused with a remedy, or kept whole."""

import warnings

import numpy as np
import pandas as pd
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clair_stats import ClientEstimates
from tests.fuzz.oracle import SEEDS, draws, not_finite, refusals, told

SPECIAL = (0.0, -1.0, 1e-320, 1e-160, 1e160, 1e308, np.nan, np.inf, -np.inf)
NAMES = ("a", "a", "", "b" * 500, "[/8]", "\x1b[31m", "=1+1", "\ud800", 3, None, 1.5, b"x", "c\n")


def spoilt(rng, array, share=0.4):
    """The array, or with a special number in it, of another type, cut, or with one axis more or less."""
    array = np.array(array)
    if rng.random() > share:
        return array
    kind = rng.integers(7)
    if kind == 0 and array.size:
        array = array.astype(float)
        array.flat[rng.integers(array.size)] = rng.choice(SPECIAL)
        return array
    if kind == 1:
        return array.astype(rng.choice([np.float32, np.complex128, np.int8, np.object_, np.bool_, "U8"]))
    if kind == 2:
        return array[: rng.integers(array.shape[0] + 1)] if array.ndim else array
    if kind == 3:
        return array[..., None] if rng.random() < 0.5 else array.ravel()
    if kind == 4:
        return array * float(rng.choice(SPECIAL[:6]))
    if kind == 5:
        return np.ma.masked_greater(array, rng.standard_normal()) if array.dtype.kind == "f" else array
    return np.asfortranarray(array)


def blocks_of(rng, n_clients, p, q):
    blocks = spoilt(rng, rng.standard_normal((n_clients, p, q)))
    kind = rng.integers(6)
    if kind == 0:
        return list(blocks)
    if kind == 1:
        return {f"c{k}": block for k, block in enumerate(blocks)}
    if kind == 2 and blocks.ndim == 3 and blocks.dtype.kind == "f":
        return {f"c{k}": pd.DataFrame(np.asarray(block)) for k, block in enumerate(blocks)}
    if kind == 3 and len(blocks) > 1:
        return [*blocks[:-1], rng.choice([None, "x", 3.0])]
    return blocks


def factors_of(rng, n_clients, p, q):
    ranks = rng.integers(0, 4, n_clients)
    pairs = [
        (spoilt(rng, rng.standard_normal((p, s)), 0.1), spoilt(rng, rng.standard_normal((s, q)), 0.1)) for s in ranks
    ]
    if rng.random() < 0.15:
        pairs[rng.integers(n_clients)] = rng.choice(["x", "ab"])
    return pairs


def fields_of(rng):
    """Arguments of one record."""
    n_clients, p, q = (int(n) for n in rng.integers(1, (9, 6, 5)))
    fields = {}
    if rng.random() < 0.3:
        fields["factors"] = factors_of(rng, n_clients, p, q)
    if not fields or rng.random() < 0.05:
        fields["values"] = blocks_of(rng, n_clients, p, q)
    if rng.random() < 0.3:
        fields["noise_scales"] = spoilt(rng, np.exp(rng.standard_normal(n_clients)))
    if rng.random() < 0.3:
        fields["sample_sizes"] = spoilt(rng, rng.integers(1, 99, n_clients))
    if rng.random() < 0.3:
        fields["client_names"] = [NAMES[i] for i in rng.integers(0, len(NAMES), n_clients)]
    if rng.random() < 0.2:
        roots = rng.standard_normal((n_clients, p, p))
        fields["row_covariances"] = spoilt(rng, roots @ roots.transpose(0, 2, 1))
        if rng.random() < 0.5:
            roots = rng.standard_normal((n_clients, q, q))
            fields["column_covariances"] = spoilt(rng, roots @ roots.transpose(0, 2, 1))
            fields["residual_degrees_of_freedom"] = spoilt(rng, rng.integers(0, 40, n_clients))
    if rng.random() < 0.1:
        fields["halves"] = spoilt(rng, rng.standard_normal((n_clients, 2, p, q)))
    return fields


@settings(max_examples=draws(200))
@given(seed=SEEDS)
@example(seed=3_922_122_902)  # a covariance of 1e308, added to its transpose
@example(seed=507_249)  # finite factors whose product overflows
def test_a_record_is_refused_or_whole(seed):
    fields = fields_of(np.random.default_rng(seed))
    with warnings.catch_warnings(), np.errstate(all="ignore"), refusals() as refused:
        warnings.simplefilter("ignore")
        record = ClientEstimates(**fields)
    told("ClientEstimates", refused)
    if refused:
        return
    dense = record.dense()
    assert dense.shape == (record.n_clients, *record.block_shape)
    assert not_finite(dense=dense) == []
    assert len(set(record.names)) == record.n_clients
    assert all(isinstance(name, str) for name in record.names)
    for array in (record.values, record.noise_scales, record.sample_sizes, record.row_covariances):
        if array is not None:
            assert np.isfinite(array).all()
            assert not array.flags.writeable
    for scales in (record.noise_scales, record.sample_sizes):
        assert scales is None or (scales > 0).all()


@settings(max_examples=draws(40))
@given(
    st.recursive(st.one_of(st.none(), st.floats(), st.text(max_size=3), st.binary(max_size=3)), st.lists, max_leaves=9)
)
def test_anything_at_all(thing):
    with warnings.catch_warnings(), refusals() as refused:
        warnings.simplefilter("ignore")
        record = ClientEstimates(values=thing)
    told("ClientEstimates, any object", refused)
    assert refused or np.isfinite(record.dense()).all()
