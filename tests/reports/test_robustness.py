"""The comparison with oracles: criteria are counted as they are stated, and every error and rank is in the table."""

import pandas as pd
import pytest

from reports.inputs import StudyInput
from reports.renderers.criteria.render import criteria_figure, render
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


def lines(error):
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
        base = {"regime": "gaussian", **regime, "method": cell.method.name, "mcse": error}
        base["method.method"] = getattr(cell.method, "method", float("nan"))
        for name, value in found.items():
            if value is not None:
                measure = "P(exact_set)" if name == "exact_set" else f"mean {name}"
                yield {**base, "measure": measure, "value": value}
                if label != "CLAIR" and own[name] is not None:
                    yield {**base, "measure": f"{name} − CLAIR", "value": value - own[name]}
                if label != "CLAIR, combined" and name == "refined_mse":
                    yield {**base, "measure": "refined_mse − CLAIR, combined", "value": value - combined}
        if label == "CLAIR":
            yield {**base, "measure": "P(false_alarm)", "value": 0.25}


def item(error=0.001):
    return StudyInput(STUDY, pd.DataFrame(lines(error)), ("study",), missing=0, failed=2)


def test_criteria_count_what_they_state():
    made = item()
    criteria, _, _ = render(made).tables
    n = len({cell.regime for cell in STUDY.cells})
    counts = [row[1:] for row in criteria.groups[0].rows]
    missed_once = (str(n), str(n - 1), "0", "1")
    combined = [(str(n), str(n), "0", "0"), ("0", "0", "--", "--")]
    assert counts == [*[missed_once] * 4, ("1", "1", "--", "--"), *combined]
    assert any("2 replications failed" in note for note in criteria.notes)


def test_a_miss_smaller_than_its_error_is_counted_apart():
    criteria, _, _ = render(item(error=2.0)).tables
    n = len({cell.regime for cell in STUDY.cells})
    assert [row[1:] for row in criteria.groups[0].rows][:4] == [(str(n), str(n - 1), "1", "0")] * 4


def test_every_setting_has_its_line_with_ratios_and_ranks():
    _, oracles, errors = render(item()).tables
    first = oracles.groups[0].rows[0]
    assert first[1:] == ("0.5000(10)", "1.0000(10)", "0.9000(10)", "0.2500(10)", "2.00", "2.00")
    own = errors.groups[0].rows[0]
    assert (own[1], own[2], own[-2], own[-1]) == ("5.00/3", "1.00/1", "1.25/2", "2.50")
    assert errors.groups[-1].heading == "all settings"
    assert sum(len(group.rows) for group in errors.groups) == len({cell.regime for cell in STUDY.cells}) + 1


def test_the_figure_shows_every_setting():
    figure = criteria_figure(item())
    shown = sum(len(line.get_xdata()) for line in figure.axes[0].lines[:-2])
    assert shown == len({cell.regime for cell in STUDY.cells})
    curve = figure.axes[1].lines[0]
    assert curve.get_xdata()[-1] == pytest.approx(4.0)
