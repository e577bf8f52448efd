"""The page on the image model: intervals and sentences against their definitions on made rows; what lacks is named."""

import math

import numpy as np
import pandas as pd
import pytest

from reports.gallery import PAGES, write_gallery_page
from reports.renderers.intervals import mean_of, paired_difference, welch_difference
from reports.renderers.vision.tables import (
    accuracy_table,
    alarm_sentences,
    augmentation_sentence,
    backdoor_sentences,
    detection_table,
    hiding_sentences,
    looks_sentences,
    paired,
)
from simulations.studies.vision import STUDY as MODELS
from simulations.studies.vision_detection import STUDY as DETECTION

RNG = np.random.default_rng(20261126)
T_5 = 2.570582  # t quantile 0.975 on 5 degrees of freedom


def detection_rows(**fixed):
    lines = []
    for cell in DETECTION.cells:
        regime = cell.regime
        for replication in range(6):
            setting = {
                f"regime.{f}": getattr(regime, f) for f in ("poison", "rate", "augmented", "p_local", "p_global")
            }
            drawn = {
                "flagged_plain": 0.0 if regime.augmented != "everybody" else math.nan,
                "flagged_augmented": 0.0 if regime.augmented in ("some benign", "everybody") else math.nan,
                "flagged_poisoned": 0.9 + 0.01 * replication if regime.poison != "none" else math.nan,
                "augmented_above": 0.4 + 0.01 * replication if regime.augmented == "some benign" else math.nan,
                "poisoned_above": 1.0,
                "exact_set": float(replication > 0),
                "false_alarm": float(replication == 0),
                "majority": 1.0,
            }
            lines.append({**setting, "replication": replication, **drawn, **fixed})
    return pd.DataFrame(lines)


def model_rows():
    return pd.DataFrame(
        [
            {
                **{
                    f"regime.{f}": getattr(cell.regime, f)
                    for f in ("poison", "rate", "augmented", "p_local", "p_global")
                },
                "method.aggregation": cell.method.aggregation,
                "replication": replication,
                **{name: RNG.random() for name in ("clean", "worst_client", "fgsm", "pgd", "similar")},
                "backdoor": 0.01 * replication if cell.method.aggregation == "clair" else 0.5 + 0.01 * replication,
            }
            for cell in MODELS.cells
            for replication in range(6)
        ]
    )


def test_intervals_are_student_s_paired_and_welch_s():
    values = pd.Series([*RNG.random(6), math.nan])
    own = values.dropna()
    found = mean_of(values)
    assert found.high - found.mean == pytest.approx(T_5 * own.std(ddof=1) / math.sqrt(6), rel=1e-5)
    assert mean_of(pd.Series([math.nan])).text() == "–"
    first, second = RNG.random(6), RNG.random(6)
    rows = pd.DataFrame(
        {"replication": [*range(6)] * 2, "m": ["a"] * 6 + ["b"] * 6, "value": np.concatenate([first, second])}
    )
    difference = first - second
    change = paired_difference(rows, "value", "m", "a", "b")
    assert change.mean == pytest.approx(difference.mean())
    assert change.mean - change.low == pytest.approx(T_5 * difference.std(ddof=1) / math.sqrt(6), rel=1e-5)
    # Equal sizes and equal variances: Welch's degrees of freedom are 2n − 2 = 10, t quantile 2.228139.
    welch = welch_difference(pd.Series(first), pd.Series(first + 1.0))
    assert welch.mean == pytest.approx(-1.0)
    assert welch.high - welch.mean == pytest.approx(2.228139 * first.std(ddof=1) * math.sqrt(2 / 6), rel=1e-5)
    assert welch_difference(pd.Series([1.0, 1.0]), pd.Series([0.0, 0.0])).low == 1.0


def test_every_setting_has_its_line_and_groups_that_are_empty_a_dash():
    rows = detection_rows()
    lines = detection_table(rows).groups[0].rows
    assert len(lines) == len(DETECTION.cells)
    assert lines[0] == ("none", "nobody", "0.00 [0.00, 0.00]", "–", "–", "–", "1.00 [1.00, 1.00]", "5 of 6", "1", "0")
    table = accuracy_table(model_rows())
    assert len(table.groups[0].rows) == len(MODELS.cells)
    assert [row[2] for row in paired(model_rows(), "clair").groups[0].rows[:2]] == ["local", "average"]


def test_the_rules_fixed_before_decide_the_words():
    assert all("no, less than plain ones" in line for line in looks_sentences(detection_rows()))
    assert all("**yes**" in line for line in looks_sentences(detection_rows(augmented_above=0.9)))
    assert all("**yes**" in line for line in looks_sentences(detection_rows(flagged_augmented=0.5)))
    rows = detection_rows()
    assert all("**not shown**" in line for line in hiding_sentences(rows))
    assert len(hiding_sentences(rows)) == 8
    rows.loc[rows["regime.augmented"] == "poisoned", "flagged_poisoned"] -= 0.5
    assert sum("**yes**" in line for line in hiding_sentences(rows)) == 5
    assert all("less often" in line for line in backdoor_sentences(model_rows()))
    assert alarm_sentences(rows)[0].startswith("without poison: 5 of 30 (Wilson 95 % interval [")
    assert augmentation_sentence(model_rows()).count("[") == 4


def test_a_page_that_is_unknown_or_has_no_rows_is_refused(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'vision'"):
        write_gallery_page("visions", tmp_path, tmp_path)
    with pytest.raises(FileNotFoundError, match="simulations run vision"):
        write_gallery_page("vision", tmp_path, tmp_path)
    assert "copying" in PAGES
