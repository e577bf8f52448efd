"""Tables of the studies on style, and what the rules fixed before the runs say of them."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from reports.renderers.copying.names import NAMES
from reports.renderers.intervals import Interval, mean_of, paired_difference
from reports.tables import Table, plain_table

__all__ = [
    "confusion_table",
    "detection_table",
    "forger_sentences",
    "paired_sentences",
    "paired_table",
    "style_table",
]

_SETTING = ["regime.n_schools", "regime.forgery"]
_STYLE = {
    "own_loss": "own loss",
    "author": "poet",
    "school": "school",
    "forged": "forged above honest",
    "layout": "layout",
    "stress": "stress",
    "rhyme": "rhyme",
}
_DIGITS = {"own_loss": 3}
_EVEN = 0.5


def _settings(rows: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    """Number of schools and forgery in words, with their rows, in the order of the design."""
    for _, part in rows.groupby(_SETTING, sort=False):
        n_schools, forgery = part.iloc[0][_SETTING]
        yield (f"{n_schools:g}", str(forgery)), part


def _schools(number: str) -> str:
    return "one school" if number == "1" else f"{number} schools"


def detection_table(rows: pd.DataFrame) -> Table:
    """Shares flagged, and how the scores order forgers and honest poets.

    Parameters
    ----------
    rows : DataFrame
        One row per federation and setting.
    """
    lines = []
    for setting, part in _settings(rows):
        means = (mean_of(part[name]).text() for name in ("flagged_honest", "flagged_forgers", "forgers_above"))
        counts = (int(part["exact_set"].sum()), int(part["false_alarm"].sum()), int((part["majority"] == 0).sum()))
        lines.append((*setting, *means, f"{counts[0]} of {len(part)}", str(counts[1]), str(counts[2])))
    heads = ("schools", "forgery", "flagged: honest", "forgers", "forgers above honest")
    return plain_table("verse-detection", (*heads, "exact set", "an honest one flagged", "no verdict"), lines)


def _found(flagged: Interval) -> str:
    if flagged.low > _EVEN:
        return "found"
    return "not found" if flagged.high < _EVEN else "found or not found: not shown"


def forger_sentences(rows: pd.DataFrame) -> list[str]:
    """Whether forgers are found and score higher, by the rule of the study ``verse_detection``.

    Parameters
    ----------
    rows : DataFrame
        One row per federation and setting.
    """
    sentences = []
    for (n_schools, forgery), part in _settings(rows[rows["regime.forgery"] != "none"]):
        flagged, above = mean_of(part["flagged_forgers"]), mean_of(part["forgers_above"])
        higher = "higher" if above.low > _EVEN else "lower" if above.high < _EVEN else "neither higher nor lower"
        sentences.append(
            f"{_schools(n_schools)}, {forgery}: forgers are **{_found(flagged)}** (flagged {flagged.text()}); "
            f"their scores are **{higher}** ({above.text()})."
        )
    return sentences


def style_table(rows: pd.DataFrame) -> Table:
    """Style by likelihood and by rule, a line per setting and method.

    Parameters
    ----------
    rows : DataFrame
        One row per federation, setting and method.
    """
    lines = []
    for setting, part in _settings(rows):
        for method, own in part.groupby("method.aggregation", sort=False):
            values = (mean_of(own[name]).text(_DIGITS.get(name, 2)) for name in _STYLE)
            lines.append((*setting, NAMES[str(method)], *values))
    return plain_table("verse-style", ("schools", "forgery", "handed back", *_STYLE.values()), lines)


def paired_table(rows: pd.DataFrame) -> Table:
    """CLAIR's two ways of refinement minus the poets' own adapters on the same federations.

    Parameters
    ----------
    rows : DataFrame
        One row per federation, setting and method.
    """
    lines = []
    for setting, part in _settings(rows):
        for method in ("clair", "clair_halves"):
            values = (
                paired_difference(part, name, "method.aggregation", method, "local").text(
                    _DIGITS.get(name, 2), signed=True
                )
                for name in _STYLE
            )
            lines.append((*setting, NAMES[method], *values))
    return plain_table("verse-paired", ("schools", "forgery", "minus local", *_STYLE.values()), lines)


def paired_sentences(rows: pd.DataFrame) -> list[str]:
    """Whether refined adapters tell poets apart and keep the layout better than own ones, by the rule of ``verse``.

    Parameters
    ----------
    rows : DataFrame
        One row per federation, setting and method.
    """
    sentences = []
    for (n_schools, forgery), part in _settings(rows):
        for method in ("clair", "clair_halves"):
            words = []
            for name, what in (("author", "poets told apart"), ("layout", "layout kept")):
                change = paired_difference(part, name, "method.aggregation", method, "local")
                word = "better" if change.low > 0 else "worse" if change.high < 0 else "no difference shown"
                words.append(f"{what}: **{word}** ({change.text(signed=True)})")
            sentences.append(
                f"{_schools(n_schools)}, forgery {forgery}, {NAMES[method]} against local: {'; '.join(words)}."
            )
    return sentences


def confusion_table(rows: pd.DataFrame, method: str, schools: tuple[str, ...]) -> Table:
    """Where the poems of each school are ascribed, without forgers.

    Parameters
    ----------
    rows : DataFrame
        One row per federation, setting and method.
    method : str
    schools : tuple of str
    """
    own = rows[(rows["regime.forgery"] == "none") & (rows["method.aggregation"] == method)]
    lines = [(true, *(mean_of(own[f"{true} as {guess}"]).text() for guess in schools)) for true in schools]
    return plain_table(f"verse-confusion-{method}", ("written by", *(f"as {name}" for name in schools)), lines)
