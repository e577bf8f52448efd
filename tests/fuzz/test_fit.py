"""The estimator on estimates of every size, shape and degeneracy: a clear error, or a finite and equivariant answer."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from clair_stats import CLAIR, ClientEstimates, verify_solution
from tests.fuzz.oracle import SEEDS, draws, not_finite, refusals, told
from tests.hardening.test_nothing_undefined_is_benign import verdict_of

SPECIAL = (0.0, 1e-300, 1e-160, 1e-140, 1e-30, 1.0, 1e30, 1e78, 1e140, 1e155, 1e300, -1.0, np.nan, np.inf)
UNEQUAL = (1.0, 1.0, 1.0, 1e-100, 1e-12, 1e-9, 1e-3, 1e3, 1e12, 1e100)  # times the scale of the last client
SPREAD = 0.1 * np.random.default_rng(0).standard_normal((8, 7, 4))
SHAPES = st.tuples(st.integers(1, 14), st.integers(1, 7), st.integers(1, 6))
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "rank": st.one_of(st.none(), st.integers(-1, 8), st.sampled_from([1.5, "2", True])),
        "level": st.one_of(st.sampled_from([0.05, 1e-290, 1e-6, 0.5, 1 - 1e-9]), st.floats()),
        "heterogeneity": st.one_of(st.sampled_from([0.0, 1e-9, 0.1, 1e6, 1e300]), st.floats()),
        "common_component": st.sampled_from([True, False, "x"]),
        "shared": st.sampled_from(["columns", "rows", "both"]),
        "detection": st.sampled_from(["consensus", "program"]),
        "refinement": st.sampled_from(["shrinkage", "average"]),
        "flagged": st.sampled_from(["ignore", "inform"]),
        "missing": st.sampled_from(["raise", "drop"]),
        "noise_penalty": st.one_of(st.none(), st.sampled_from([0.0, 5e-324, 1e-20, 1.0, 1e300])),
        "block_penalty": st.one_of(st.none(), st.sampled_from([0.0, 1e-10, 0.5, 1e10])),
    },
)


@st.composite
def stacks(draw):
    """Clean, contaminated, exact, repeated or spoilt estimates, in some unit."""
    n_clients, p, q = draw(SHAPES)
    rng = np.random.default_rng(draw(SEEDS))
    rank = draw(st.integers(0, min(p, 3)))
    blocks = rng.standard_normal((p, rank)) @ rng.standard_normal((n_clients, rank, q))
    blocks = blocks + draw(st.sampled_from([0.0, 1e-12, 1e-3, 0.1, 1.0])) * rng.standard_normal((n_clients, p, q))
    for _ in range(draw(st.integers(0, 3))):
        k, other = draw(st.integers(0, n_clients - 1)), draw(st.integers(0, n_clients - 1))
        change = draw(st.sampled_from(["factor", "entry", "copy", "constant", "shift"]))
        size = draw(st.sampled_from(SPECIAL))
        with np.errstate(all="ignore"):
            if change == "factor":
                blocks[k] = blocks[k] * size
            elif change == "entry":
                blocks[k, 0, 0] = size
            elif change == "copy":
                blocks[k] = blocks[other]
            elif change == "constant":
                blocks[k] = size
            else:
                blocks[k] = blocks[k] + size
    with np.errstate(all="ignore"):
        return np.ldexp(blocks, draw(st.sampled_from([0, 0, 0, -900, -400, -90, 90, 400, 900])))


@pytest.fixture(autouse=True, scope="module")
def _quiet():
    """Warnings that tell what to do are answers, those of a solution that is computed when it is asked for as well."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def fitted(blocks, options, **given):
    return CLAIR(**options).fit(blocks, **given)


def known(kind, blocks, scale, apart):
    """What is told of errors: scales or covariances, with one client apart, or two fits that differ by the scale."""
    scales = np.full(len(blocks), scale)
    scales[-1] *= apart
    if kind == "scales":
        return ClientEstimates(blocks, noise_scales=scales)
    if kind == "halves":
        return ClientEstimates(blocks, halves=np.stack([blocks - scale, blocks + scale], axis=1))
    rows, columns = (np.eye(side) + 0.5 for side in blocks.shape[1:])
    with np.errstate(over="ignore"):
        law = {"row_covariances": scales[:, None, None] ** 2 * rows}
    if kind == "both covariances":
        law["column_covariances"] = np.broadcast_to(columns, (len(blocks), *columns.shape))
    return ClientEstimates(blocks, **law)


@settings(max_examples=draws(80))
@given(
    blocks=stacks(),
    options=OPTIONS,
    scale=st.sampled_from([None, 1e-300, 1e-9, 0.1, 10.0, 1e150]),
    apart=st.sampled_from(UNEQUAL),
    kind=st.sampled_from(["scales", "scales", "covariances", "both covariances", "halves"]),
)
@example(
    blocks=np.array([1.25730221e127, -1.32104863e-313, 6.40422650e65])[:, None, None],
    options={},
    scale=None,
    apart=1.0,
    kind="scales",
)
@example(
    blocks=np.array([1.18305219e-301, 0.0, 0.0])[:, None, None],
    options={"level": 1e-290},
    scale=None,
    apart=1.0,
    kind="scales",
)
@example(blocks=np.array([1e-300, 0.0, 0.0])[:, None, None], options={}, scale=1e-9, apart=1.0, kind="scales")
@example(blocks=SPREAD, options={}, scale=1e150, apart=1.0, kind="scales")  # the risk of shrinkage had no number
# The others' weight beside that of one was 1 - 1.
@example(blocks=SPREAD, options={}, scale=0.1, apart=1e-9, kind="scales")
@example(blocks=SPREAD, options={}, scale=0.1, apart=1e-9, kind="covariances")  # fitted alone: no degrees of freedom
@example(blocks=SPREAD * 1e-140, options={}, scale=1e60, apart=1.0, kind="covariances")  # beyond numbers in the unit
def test_a_fit_is_refused_or_finite(blocks, options, scale, apart, kind):
    with refusals() as refused:
        model = fitted(blocks if scale is None else known(kind, blocks, scale, apart), options)
    told("CLAIR().fit", refused)
    if refused:
        return
    assert not verdict_of(model), verdict_of(model)
    assert (
        not_finite(
            refined=model.refined_,
            common=model.common_,
            basis=model.basis_,
            noise=model.noise_scales_,
            scores=model.scores_,
        )
        == []
    )
    assert len(model.reasons_) == len(model.client_names_)
    assert model.summary()
    kept = [k for k in range(len(blocks)) if f"client {k}" in model.client_names_]
    turned = blocks[kept].transpose(0, 2, 1) if options.get("shared") == "rows" else blocks[kept]  # as documented
    checked = verify_solution(turned, model.decomposition_)
    assert checked.valid or "relative duality gap" in checked.message
    if options.get("flagged") != "inform":  # which draws a flagged client towards the others
        aside = ~model.collaborative_set_ & ~model.refinement_.members
        np.testing.assert_array_equal(model.refined_[aside], blocks[kept][aside])


@settings(max_examples=draws(30))
@given(blocks=stacks(), exponent=st.integers(-200, 200))
@example(blocks=np.array([[1.18305219e29, 0.0], [0.0, 0.0], [0.0, 0.0]])[:, :, None], exponent=-37)
@example(blocks=np.array([0.0] * 7 + [1.0, 1e300])[:, None, None] * np.ones((6, 6)), exponent=-122)
def test_neither_unit_nor_rotation_changes_the_verdict(blocks, exponent):
    with np.errstate(all="ignore"):
        moved = np.ldexp(blocks, exponent)
        # Numbers that become nothing in the other unit are other data.
        assume(np.array_equal(np.ldexp(moved, -exponent), blocks, equal_nan=True))
    with refusals() as refused:
        plain, scaled = fitted(blocks, {}), fitted(moved, {})
    told("CLAIR().fit in two units", refused)
    if refused:
        return
    np.testing.assert_array_equal(plain.flagged_, scaled.flagged_)
    assert (plain.majority_, plain.rank_) == (scaled.majority_, scaled.rank_)
    np.testing.assert_allclose(plain.p_values_, scaled.p_values_, rtol=1e-6, atol=1e-9)


@settings(max_examples=draws(15))
@given(st.lists(stacks(), min_size=1, max_size=3), st.sampled_from(["raise", "drop"]))
def test_several_modules_are_refused_or_judged(stack, missing):
    fewest = min(map(len, stack))
    modules = {f"m{i}": blocks[:fewest] for i, blocks in enumerate(stack)}
    with refusals() as refused:
        model = fitted(modules, {"missing": missing})
    told("CLAIR().fit, several modules", refused)
    if refused:
        return
    assert not verdict_of(model), verdict_of(model)
    for name in itertools.islice(modules, 2):
        assert np.isfinite(model.refined_[name]).all()
