"""The comparison with oracles: what is shown, open and refuted, by tests recomputed from single replications."""

import dataclasses
import math
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, ttest_1samp

from reports.inputs import StudyInput
from reports.renderers.criteria.evidence import of_errors, of_shares
from reports.renderers.criteria.judgement import replications_to_show
from reports.renderers.criteria.render import render
from simulations.studies.robustness_quick import STUDY

# Per method: probability of the exact set, sin Θ, mean squared error, in the first setting and in the others.
FIRST = {
    "CLAIR": (0.5, 0.2, 2.0),
    "CLAIR, combined": (0.5, 0.2, 0.4),
    "Oracle detection": (1.0, None, None),
    "Test on the true set": (0.9, 0.1, None),
    "Oracle CLAIR": (None, 0.1, 1.0),
    "armul_low_rank": (None, 0.3, 0.5),
}
OTHERS = {
    "CLAIR": (1.0, 0.1, 1.0),
    "CLAIR, combined": (1.0, 0.1, 0.9),
    "Oracle detection": (1.0, None, None),
    "Test on the true set": (1.0, 0.1, None),
    "Oracle CLAIR": (None, 0.1, 1.0),
    "armul_low_rank": (None, 0.3, 4.0),
}
NAMES = ("exact_set", "sin_theta", "refined_mse")
SETTINGS = len({cell.regime for cell in STUDY.cells})


def lines(error, n):
    for cell in STUDY.cells:
        label = getattr(cell.method, "method", cell.method.name)
        values = FIRST if cell.regime == STUDY.cells[0].regime else OTHERS
        found = dict(zip(NAMES, values.get(label, (None, None, 9.0)), strict=True))
        own = dict(zip(NAMES, values["CLAIR"], strict=True))
        combined = values["CLAIR, combined"][2]
        regime = {
            f"regime.{name}": getattr(cell.regime, name)
            for name in ("contamination", "contamination_scale", "common_scale", "share", "noise_scale")
        }
        base = {"regime": "gaussian", **regime, "method": cell.method.name, "n": n, "mcse": error}
        base["method.method"] = getattr(cell.method, "method", float("nan"))

        def line(measure, value, base=base):
            return {**base, "measure": measure, "value": value, "low": value - error, "high": value + error}

        for name, value in found.items():
            if value is not None:
                yield line("P(exact_set)" if name == "exact_set" else f"mean {name}", value)
                if label != "CLAIR" and own[name] is not None:
                    # An indicator's difference d has n·E[d] ones: its error follows from its mean.
                    spread = math.sqrt(max(value - own[name] - (value - own[name]) ** 2, 0.0) / (n - 1))
                    paired = line(f"{name} − CLAIR", value - own[name])
                    yield {**paired, "mcse": spread} if name == "exact_set" else paired
                if label != "CLAIR, combined" and name == "refined_mse":
                    yield line("refined_mse − CLAIR, combined", value - combined)
        if label == "CLAIR":
            yield line("P(false_alarm)", 0.25)


def item(error=0.001, n=200):
    return StudyInput(STUDY, pd.DataFrame(lines(error, n)), ("study",), missing=0, failed=2)


@cache
def rendered():
    """Of rows as they should be; drawing takes half a second."""
    return render(item())


def test_criteria_count_what_they_state():
    criteria = rendered().tables[0]
    counts = [row[1:5] for row in criteria.groups[0].rows]
    refuted_once = (str(SETTINGS), str(SETTINGS - 1), "0", "1")
    assert counts == [*[refuted_once] * 4, (str(SETTINGS), str(SETTINGS), "0", "0")]
    assert "2 failed (counted, not drawn again)" in criteria.caption
    assert any("in 1 of these the best baseline is ahead of oracle CLAIR" in note for note in criteria.notes)


def test_what_no_replication_contradicts_is_open_while_replications_are_few():
    criteria = render(item(n=30)).tables[0]
    assert criteria.groups[0].rows[0][1:5] == (str(SETTINGS), "0", str(SETTINGS - 1), "1")
    assert any(f"from {replications_to_show(0.05, SETTINGS)} replications on" in note for note in criteria.notes)


def test_errors_larger_than_the_margin_leave_everything_open():
    rows = render(item(error=5.0)).tables[0].groups[0].rows
    assert [row[1:5] for row in rows[1:]] == [(str(SETTINGS), "0", str(SETTINGS), "0")] * 4


def test_losses_are_told_in_words():
    losses = rendered().losses
    assert len(losses) == 4
    assert losses[0].startswith(f"P(Ĉ = C) at least oracle detection's minus 0.05: refuted in 1 of {SETTINGS} settings")


def one(value):
    return pd.Series([value])


@pytest.mark.parametrize(("other", "own"), [(0, 0), (3, 0), (9, 2), (30, 1)])
def test_exact_tests_get_back_the_discordant_replications(other, own):
    n, margin = 60, 0.05
    d = np.repeat([1.0, -1.0, 0.0], [other, own, n - other - own])
    found = of_shares(one(d.mean()), one(d.std(ddof=1) / math.sqrt(n)), one(n), margin)
    assert found.shown[0] == pytest.approx(binom.cdf(other, n, margin))
    # "Refuted" holds for every value of P(only own); so it cannot fall below the smaller of its two tests at any one.
    for e in (0.0, 0.04, 0.21):
        smaller = min(
            binom.sf(other - 1, n, margin + e), binom.sf(other - 1, other + own, (margin + e) / (margin + 2 * e))
        )
        assert found.refuted[0] >= smaller - 1e-12


def test_levels_hold_where_the_shortfall_equals_the_margin():
    """P(shown) ≤ 0.05 at E[d] = margin, and P(refuted) too: exact tests, with discordant pairs on both sides."""
    generator = np.random.default_rng(20261128)
    n, runs, margin, own = 200, 4000, 0.05, 0.03
    draws = generator.choice([1.0, -1.0, 0.0], p=[margin + own, own, 1 - margin - 2 * own], size=(runs, n))
    found = of_shares(
        pd.Series(draws.mean(axis=1)),
        pd.Series(draws.std(axis=1, ddof=1) / math.sqrt(n)),
        pd.Series(np.full(runs, n)),
        margin,
    )
    band = 3 * math.sqrt(0.05 * 0.95 / runs)
    assert (found.shown <= 0.05).mean() <= 0.05 + band
    assert (found.refuted <= 0.05).mean() <= 0.05 + band
    worse = generator.choice([1.0, 0.0], p=[0.3, 0.7], size=(200, n))  # the sabotage: it has to be refuted
    found = of_shares(
        pd.Series(worse.mean(axis=1)),
        pd.Series(worse.std(axis=1, ddof=1) / math.sqrt(n)),
        pd.Series(np.full(200, n)),
        margin,
    )
    assert (found.refuted <= 0.05).all()


def test_errors_are_judged_by_the_t_test_of_their_differences():
    x = np.random.default_rng(3).normal(-0.2, 1.0, 12)
    error = x.std(ddof=1) / math.sqrt(x.size)
    found = of_errors(one(x.mean()), one(error), one(x.size))
    assert found.shown[0] == pytest.approx(ttest_1samp(x, 0.0, alternative="less").pvalue)
    assert found.refuted[0] == pytest.approx(ttest_1samp(x, 0.0, alternative="greater").pvalue)
    assert of_errors(one(0.0), one(0.0), one(5)).shown[0] == 0.0  # a tie without variation is "at most"
    assert of_errors(one(0.1), one(0.0), one(5)).refuted[0] == 0.0


def test_every_setting_has_its_line_with_ratios_and_errors():
    _, oracles, errors = rendered().tables
    first = oracles.groups[0].rows[0]
    assert first[1:5] == ("0.5000(10)", "1.0000(10)", "0.9000(10)", "0.2500(10)")
    assert first[5].startswith("2.000(")
    own = errors.groups[0].rows[0]
    assert own[1] == "5.00(1)"  # 2.0 over the best, 0.4
    assert (own[2], own[-1]) == ("1.00(1)", "2.50(1)")
    assert errors.groups[-1].heading == "all settings"
    assert sum(len(group.rows) for group in errors.groups) == SETTINGS + 1
    (mean,) = errors.groups[-1].rows
    assert mean[2] == "1.00"  # combined is best everywhere, beyond error


def test_the_figure_shows_every_setting():
    figure = rendered().picture.figure
    shown = sum(len(line.get_xdata()) for line in figure.axes[0].lines[:-2])
    assert shown == SETTINGS
    curve = figure.axes[1].lines[0]
    assert curve.get_xdata()[-1] == pytest.approx(4.0)


def test_a_study_whose_own_rows_are_not_there_yet_is_open_everywhere():
    made = item()
    early = made.summary[~made.summary["method"].isin(["CLAIR", "CLAIR, combined"])]
    early = early[~early["measure"].str.contains(" − ")]
    found = render(dataclasses.replace(made, summary=early))
    assert [row[1:5] for row in found.tables[0].groups[0].rows] == [("0", "0", "0", "0")] * 3
    assert found.picture is None
    assert found.losses == ()
