"""The page on style: sentences by the rules fixed before, confusion table and spelling, on made rows."""

import math

import numpy as np
import pandas as pd

from reports.renderers.verse.picture import spelt
from reports.renderers.verse.tables import (
    confusion_table,
    detection_table,
    forger_sentences,
    paired_sentences,
    paired_table,
    style_table,
)
from simulations.studies.verse import STUDY as STYLE
from simulations.studies.verse_detection import STUDY as DETECTION

RNG = np.random.default_rng(20261127)
SCHOOLS = ("tanka", "iambic")
METRICS = ("own_loss", "author", "school", "forged", "layout", "stress", "rhyme")


def detection_rows(flagged, above):
    return pd.DataFrame(
        [
            {
                "regime.n_schools": cell.regime.n_schools,
                "regime.forgery": cell.regime.forgery,
                "replication": replication,
                "flagged_honest": 0.0,
                "flagged_forgers": flagged + 0.01 * replication if cell.regime.forgery != "none" else math.nan,
                "forgers_above": above + 0.01 * replication if cell.regime.forgery != "none" else math.nan,
                "exact_set": 1.0,
                "false_alarm": 0.0,
                "majority": float(replication > 0),
            }
            for cell in DETECTION.cells
            for replication in range(5)
        ]
    )


def style_rows(gain):
    lines = []
    for cell in STYLE.cells:
        for replication in range(5):
            shift = gain + 0.01 * replication if cell.method.aggregation.startswith("clair") else 0.0
            lines.append(
                {
                    "regime.n_schools": cell.regime.n_schools,
                    "regime.forgery": cell.regime.forgery,
                    "method.aggregation": cell.method.aggregation,
                    "replication": replication,
                    **dict.fromkeys(METRICS, 0.3 + shift),
                    **{f"{a} as {b}": 0.75 if a == b else 0.25 for a in SCHOOLS for b in SCHOOLS},
                }
            )
    return pd.DataFrame(lines)


def test_forgers_are_found_by_the_rule():
    rows = detection_rows(0.8, 0.9)
    assert len(detection_table(rows).groups[0].rows) == len(DETECTION.cells)
    assert detection_table(rows).groups[0].rows[0] == ("1", "none", "0.00 [0.00, 0.00]", "–", "–", "5 of 5", "0", "1")
    assert len(forger_sentences(rows)) == 6
    assert all("**found**" in line and "**higher**" in line for line in forger_sentences(rows))
    low = forger_sentences(detection_rows(0.0, 0.1))
    assert all("**not found**" in line and "**lower**" in line for line in low)
    between = forger_sentences(detection_rows(0.48, 0.48))
    assert all("not shown" in line and "neither" in line for line in between)


def test_paired_differences_decide_the_words():
    assert all(line.count("**better**") == 2 for line in paired_sentences(style_rows(0.2)))
    assert all(line.count("**worse**") == 2 for line in paired_sentences(style_rows(-0.2)))
    assert all(line.count("no difference shown") == 2 for line in paired_sentences(style_rows(-0.02)))
    assert len(style_table(style_rows(0.0)).groups[0].rows) == len(STYLE.cells)
    assert len(paired_table(style_rows(0.0)).groups[0].rows) == 2 * 2


def test_confusion_is_a_mean_over_federations_without_forgers():
    (first, _) = confusion_table(style_rows(0.0), "clair", SCHOOLS).groups[0].rows
    assert first == ("tanka", "0.75 [0.75, 0.75]", "0.25 [0.25, 0.25]")


def test_syllables_have_their_stress_rhyme_and_onset():
    assert spelt(np.array([0, 1, 5, 15, 29, 30, 31])) == "a ta le A LU / ."
