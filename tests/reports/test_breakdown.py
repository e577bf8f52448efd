"""The adaptive attack's tables and curves hold every number of its summary."""

import dataclasses

import pandas as pd
import pytest

from reports.document import build
from reports.inputs import Inputs, StudyInput
from reports.renderers.breakdown import breakdown_picture, breakdown_tables, render
from simulations.studies.adaptive_attack import HARM, METHODS, NORMS, SHARES, STUDY


def summary():
    lines = []
    for cell in STUDY.cells:
        regime, method = cell.regime, cell.method
        adaptive = regime.name == "adaptive attack"
        harm = 1.0 + METHODS.index(method) + regime.share + regime.contamination_scale / 100 + 20 * (not adaptive)
        lines += [
            {
                "regime": regime.name,
                "regime.share": regime.share,
                "regime.contamination_scale": regime.contamination_scale,
                "method": method.name,
                "method.method": getattr(method, "method", float("nan")),
                "measure": measure,
                "value": value,
                "mcse": 0.012,
                "low": value - 0.024,
                "high": value + 0.024,
                "n": 16,
                "undefined": 0,
            }
            for measure, value in ((HARM.label, harm), ("mean refined_mse", -1.0))
        ]
    return pd.DataFrame(lines)


@pytest.fixture(scope="module")
def item():
    return StudyInput(STUDY, summary(), ("study adaptive_attack",), missing=2, failed=1)


@pytest.fixture(scope="module")
def rendered(item):
    return render(item)


def test_every_method_share_and_norm_under_both_attacks(item, rendered):
    assert rendered.tables == breakdown_tables(item)
    made, plain = breakdown_tables(item)
    for table, shift in ((made, 0), (plain, 20)):
        assert [group.heading for group in table.groups] == [f"share {share:g}" for share in SHARES]
        for share, group in zip(SHARES, table.groups, strict=True):
            assert len(group.rows) == len(METHODS)
            for number, row in enumerate(group.rows):
                expected = [f"{1 + number + share + norm / 100 + shift:.3f}(12)" for norm in NORMS]
                assert list(row[1:]) == expected
    assert [row[0] for row in made.groups[0].rows[:4]] == [
        "CLAIR",
        "CLAIR, combined",
        "Oracle CLAIR",
        "No detection",
    ]
    assert "1 failed (counted, not drawn again), 2 rows not there yet" in made.caption


def test_harm_above_one_is_told(item, rendered):
    norms = ", ".join(f"share {share:g} and norm {norm:g}" for share in SHARES for norm in NORMS)
    n = len(SHARES) * len(NORMS)
    assert rendered.losses == (f"The attack makes CLAIR worse than local fits in {n} of {n} settings: {norms}.",)
    harmless = item.summary.assign(low=0.5)
    assert render(dataclasses.replace(item, summary=harmless)).losses == ()


def test_curves_are_those_of_the_attack_made_for_each_method(item):
    picture = breakdown_picture(item)
    assert "1 failed" in picture.caption
    figure = picture.figure
    assert [axis.get_title() for axis in figure.axes] == [f"share {share:g}" for share in SHARES]
    for share, axis in zip(SHARES, figure.axes, strict=True):
        curves = axis.containers
        assert len(curves) == len(METHODS)
        for number, curve in enumerate(curves):
            x, y = curve[0].get_data()
            assert list(x) == list(NORMS)
            assert list(y) == pytest.approx([1 + number + share + norm / 100 for norm in NORMS])


def test_a_store_without_adaptive_rows_has_no_curve(item):
    plain = item.summary[item.summary["regime"] == "gaussian"]
    assert breakdown_picture(dataclasses.replace(item, summary=plain)) is None


def test_report_has_tables_curves_and_the_design_beside_it(item, tmp_path):
    build(Inputs((), (item,), ()), tmp_path, pdf=False)
    text = (tmp_path / "report.tex").read_text()
    for name in ("study-adaptive-attack", "study-adaptive-attack-plain"):
        assert f"\\input{{tables/{name}.tex}}" in text
        assert (tmp_path / "tables" / f"{name}.tex").is_file()
    assert (tmp_path / "figures" / "study-adaptive-attack.pdf").is_file()
    assert "The design in full" in text
    assert len(STUDY.cells) > 400 > text.count(r"\\")  # the design's table stays in its own file
    assert (tmp_path / f"ademp-{STUDY.name}.md").read_text().count("\n|") > 200
