"""Tables of the image studies, and what the rules fixed before the runs say of them."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from scipy import stats

from reports.renderers.intervals import mean_of, paired_difference, welch_difference
from reports.tables import Table, plain_table
from reports.words import worded

__all__ = [
    "accuracy_table",
    "alarm_sentences",
    "augmentation_sentence",
    "backdoor_sentences",
    "detection_table",
    "hiding_sentences",
    "looks_sentences",
    "paired",
]

_SETTING = ("regime.poison", "regime.rate", "regime.augmented", "regime.p_local", "regime.p_global")
_NAMES = {
    "base": "model before",
    "local": "local",
    "average": "average",
    "clair": "CLAIR",
    **{name: worded(name) for name in ("clair_halves", "oracle_average")},
}
_ACCURACIES = {
    "clean": "clean",
    "worst_client": "worst client",
    "fgsm": "FGSM",
    "pgd": "PGD",
    "similar": "similar",
    "backdoor": "trigger obeyed",
}
_LEVEL = 0.02  # of the joint verdict
_EVEN = 0.5  # two groups look alike


def _settings(rows: pd.DataFrame) -> Iterator[tuple[pd.Series, pd.DataFrame]]:
    """Each setting's first row and all of its rows, in the order of the design."""
    for _, part in rows.groupby(list(_SETTING), sort=False):
        yield part.iloc[0], part


def _poison(row: pd.Series) -> str:
    if row["regime.poison"] == "none":
        return "none"
    return f"{row['regime.poison']}, {100 * row['regime.rate']:.0f} % of the images"


def _who(row: pd.Series) -> str:
    if row["regime.augmented"] == "nobody":
        return "nobody"
    return f"{row['regime.augmented']} ({row['regime.p_local']:g}, {row['regime.p_global']:g})"


def detection_table(rows: pd.DataFrame) -> Table:
    """Shares flagged by group, and how the scores order the groups.

    Parameters
    ----------
    rows : DataFrame
        One row per federation and setting.
    """
    lines = []
    for row, part in _settings(rows):
        exact = f"{int(part['exact_set'].sum())} of {len(part)}"
        alarms, undecided = str(int(part["false_alarm"].sum())), str(int((part["majority"] == 0).sum()))
        groups = (mean_of(part[f"flagged_{name}"]).text() for name in ("plain", "augmented", "poisoned"))
        above = (mean_of(part[name]).text() for name in ("augmented_above", "poisoned_above"))
        lines.append((_poison(row), _who(row), *groups, *above, exact, alarms, undecided))
    heads = ("poison", "augmented (patch, image)", "flagged: plain", "augmented", "poisoned")
    above_heads = ("augmented above plain", "poisoned above benign")
    return plain_table(
        "vision-detection", (*heads, *above_heads, "exact set", "a benign one flagged", "no verdict"), lines
    )


def looks_sentences(rows: pd.DataFrame) -> list[str]:
    """Whether augmented clients look contaminated, by the rule of the study ``vision_detection``.

    Parameters
    ----------
    rows : DataFrame
        One row per federation and setting.
    """
    found = []
    for row, part in _settings(rows[rows["regime.augmented"] == "some benign"]):
        flagged, above = mean_of(part["flagged_augmented"]), mean_of(part["augmented_above"])
        looks = flagged.low > _LEVEL or above.low > _EVEN
        word = "yes" if looks else "no, less than plain ones" if above.high < _EVEN else "not shown"
        other = "" if row["regime.poison"] == "none" else f", beside poisoned clients ({_poison(row)})"
        found.append(
            f"{_who(row).removeprefix('some benign ')}{other}: augmented clients look contaminated: "
            f"**{word}** (flagged {flagged.text()}, score above a plain client's {above.text()})."
        )
    return found


def hiding_sentences(rows: pd.DataFrame) -> list[str]:
    """Whether poisoned clients hide behind augmentation, by the rule of the study ``vision_detection``.

    Parameters
    ----------
    rows : DataFrame
        One row per federation and setting.
    """
    found = []
    for row, part in _settings(rows[rows["regime.augmented"].isin(["poisoned", "everybody"])]):
        if row["regime.poison"] == "none":
            continue
        same = (rows["regime.poison"] == row["regime.poison"]) & (rows["regime.rate"] == row["regime.rate"])
        plain = rows[same & (rows["regime.augmented"] == "nobody")]["flagged_poisoned"]
        change = welch_difference(part["flagged_poisoned"], plain)
        hides = "yes" if change.high < 0 else "not shown"
        found.append(
            f"{_poison(row)}, augmented: {_who(row)}: the poisoned hide: **{hides}** (found {plain.mean():.2f} "
            f"without, change {change.text(signed=True)})."
        )
    return found


def accuracy_table(rows: pd.DataFrame) -> Table:
    """Accuracy of benign clients, clean and attacked, and how often the trigger is obeyed.

    Parameters
    ----------
    rows : DataFrame
        One row per federation, setting and method.
    """
    lines = []
    for row, part in _settings(rows):
        for method, own in part.groupby("method.aggregation", sort=False):
            values = (mean_of(own[name]).text() for name in _ACCURACIES)
            lines.append((_poison(row), _who(row), _NAMES[str(method)], *values))
    return plain_table("vision-accuracy", ("poison", "augmented", "method", *_ACCURACIES.values()), lines)


def paired(rows: pd.DataFrame, method: str) -> Table:
    """A method minus local models and minus the average on the same federations, and in how many of them it decided.

    Parameters
    ----------
    rows : DataFrame
        One row per federation, setting and method.
    method : str
    """
    lines = []
    for row, part in _settings(rows):
        for rival in ("local", "average"):
            values = (
                paired_difference(part, name, "method.aggregation", method, rival).text(signed=True)
                for name in ("clean", "worst_client", "pgd", "similar")
            )
            lines.append((_poison(row), _who(row), _NAMES[rival], *values))
    heads = ("poison", "augmented", f"{_NAMES[method]} minus", "clean", "worst client", "PGD", "similar")
    return plain_table(f"vision-paired-{method}", heads, lines)


def backdoor_sentences(rows: pd.DataFrame) -> list[str]:
    """How often benign clients' models obey the trigger, with CLAIR and with the average.

    Parameters
    ----------
    rows : DataFrame
        One row per federation, setting and method.
    """
    found = []
    for row, part in _settings(rows[rows["regime.poison"] == "backdoor"]):
        change = paired_difference(part, "backdoor", "method.aggregation", "clair", "average")
        word = "less" if change.high < 0 else "more" if change.low > 0 else "not shown to be less or more"
        found.append(
            f"augmented: {_who(row)}: the trigger is obeyed {word} often with CLAIR than with the average "
            f"({change.text(signed=True)})."
        )
    return found


def alarm_sentences(rows: pd.DataFrame) -> list[str]:
    """In how many federations a benign client was flagged, without poison and by kind of poison.

    Parameters
    ----------
    rows : DataFrame
        One row per federation and setting.
    """
    found = []
    for _, part in rows.groupby(["regime.poison", "regime.rate"], sort=False):
        hits = int(part["false_alarm"].sum())
        low, high = stats.binomtest(hits, len(part)).proportion_ci(method="wilson")
        name = "without poison" if part.iloc[0]["regime.poison"] == "none" else _poison(part.iloc[0])
        found.append(f"{name}: {hits} of {len(part)} (Wilson 95 % interval [{low:.3f}, {high:.3f}])")
    return found


def augmentation_sentence(rows: pd.DataFrame) -> str:
    """What augmentation changes in the accuracy of local models where nobody is poisoned.

    Parameters
    ----------
    rows : DataFrame
        One row per federation, setting and method.
    """
    own = rows[(rows["regime.poison"] == "none") & (rows["method.aggregation"] == "local")]
    augmented, plain = (own[own["regime.augmented"] == who] for who in ("everybody", "nobody"))
    changes = (
        f"{label} {welch_difference(augmented[name], plain[name]).text(signed=True)}"
        for name, label in (("clean", "clean"), ("fgsm", "FGSM"), ("pgd", "PGD"), ("similar", "similar"))
    )
    return f"Local models, everybody augmented minus nobody: {', '.join(changes)}."
