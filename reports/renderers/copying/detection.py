"""Who is contaminated: the rate of exact sets, the level without contamination, and other kinds of contamination."""

from __future__ import annotations

import pandas as pd
from scipy import stats

from reports.renderers.copying.names import NAMES
from reports.tables import Table, plain_table
from reports.words import worded

__all__ = ["contamination_tables", "exact_sentence", "level_sentence", "misses", "source_table"]

# Rule of the studies on detection, fixed before their first run: Wilson's lower end reaches this rate.
_RATE = 0.95
_SOURCES = {"consensus": "CLAIR", "program": "CLAIR (program)"}
_SHOWN = ("local", "average", "coordinate_median", "geometric_median", "krum", "multi_krum", "clair", "clair rows")


def _share(indicator: pd.Series) -> tuple[str, float, float]:
    """Hits of total with the Wilson 95 % interval, and its ends."""
    hits, n = int(indicator.sum()), len(indicator)
    low, high = stats.binomtest(hits, n).proportion_ci(method="wilson")
    return f"{hits} of {n} (Wilson 95 % interval [{low:.3f}, {high:.3f}])", float(low), float(high)


def _counts(rows: pd.DataFrame) -> tuple[int, int, int]:
    """Contaminated clients found and missed, benign ones flagged."""
    found, missed, wrong = (int(rows[name].sum()) for name in ("true_positives", "false_negatives", "false_positives"))
    return found, missed, wrong


def _exact_verdict(rows: pd.DataFrame) -> str:
    """What the rule fixed before the run says of a rate of at least 0.95: shown, refuted or not shown."""
    _, low, high = _share(rows["exact_set"])
    return "shown" if low >= _RATE else "refuted" if high < _RATE else "not shown"


def _level_verdict(rows: pd.DataFrame) -> str:
    """Whether the interval of the rate of false alarms holds the level or lies below it."""
    _, low, _ = _share(rows["any_false_alarm"])
    return "kept" if low <= float(rows["method.level"].iloc[0]) else "not kept"


def exact_sentence(rows: pd.DataFrame) -> str:
    """How often the set was exact, and what the rule fixed before the run says.

    Parameters
    ----------
    rows : DataFrame
        One row per federation and method.
    """
    exact, _, _ = _share(rows["exact_set"])
    right, missed, wrong = _counts(rows)
    return (
        f"Exact set in {exact} federations; {right} contaminated clients found, {missed} missed, {wrong} benign ones "
        f"flagged. By the rule fixed before the run, a rate of at least {_RATE:g} is **{_exact_verdict(rows)}**."
    )


def level_sentence(rows: pd.DataFrame) -> str:
    """How often somebody was flagged where all are benign.

    Parameters
    ----------
    rows : DataFrame
        One row per federation and method.
    """
    alarms, _, _ = _share(rows["any_false_alarm"])
    level = float(rows["method.level"].iloc[0])
    return (
        f"Without contamination somebody was flagged in {alarms} federations, at the level {level:g} for the whole "
        f"federation, which is **{_level_verdict(rows)}** by the rule fixed before the run."
    )


def misses(rows: pd.DataFrame) -> tuple[str, ...]:
    """A rate of exact sets that is not shown, and a level that is not kept, a sentence each.

    Parameters
    ----------
    rows : DataFrame
        One row per federation and method.
    """
    found = []
    for source, part in rows.groupby("method.detection", sort=False):
        contaminated = part["regime.contaminated_share"] > 0
        if contaminated.any() and _exact_verdict(part[contaminated]) != "shown":
            found.append(f"{_SOURCES[str(source)]}: {exact_sentence(part[contaminated])}")
        if (~contaminated).any() and _level_verdict(part[~contaminated]) != "kept":
            found.append(f"{_SOURCES[str(source)]}: {level_sentence(part[~contaminated])}")
    return tuple(sentence.replace("**", "") for sentence in found)


def source_table(rows: pd.DataFrame) -> Table:
    """Exact sets, counts of clients and false alarms, a line for each source of candidates.

    Parameters
    ----------
    rows : DataFrame
        One row per federation and method.
    """
    lines = []
    for source, part in rows.groupby("method.detection", sort=False):
        bad = part["regime.contaminated_share"] > 0
        counts = ", ".join(str(count) for count in _counts(part[bad]))
        alarms = _share(part[~bad]["any_false_alarm"])[0] if (~bad).any() else "not run"
        lines.append((_SOURCES[str(source)], _share(part[bad]["exact_set"])[0], counts, alarms))
    heading = ("detection", "exact set", "found, missed, wrongly flagged", "somebody flagged where all are benign")
    return plain_table("copying-detection", heading, lines)


def contamination_tables(rows: pd.DataFrame) -> tuple[Table, Table]:
    """Every kind of contamination: the set, and the accuracy of benign clients; and the success of the backdoor.

    Parameters
    ----------
    rows : DataFrame
        One row per federation and method.
    """
    names = [NAMES.get(name, "CLAIR, shared rows") for name in (*_SHOWN, "oracle_average")]
    method = rows["method.aggregation"].where(rows["method.shared"] != "rows", rows["method.aggregation"] + " rows")
    kind = rows["regime.contamination"].where(rows["regime.source"] == "tokens", "random_mapping, text")
    lines, attacked = [], []
    for name in dict.fromkeys(kind):
        part = {m: rows[(kind == name) & (method == m)] for m in (*_SHOWN, "oracle_average")}
        found = part["clair"]
        accuracy = (f"{own['own_accuracy'].mean():.2f} ({own['own_accuracy'].sem():.2f})" for own in part.values())
        exact = f"{int(found['exact_set'].sum())} of {len(found)}"
        counts = ", ".join(str(count) for count in _counts(found))
        lines.append((worded(str(name)), exact, counts, *accuracy))
        if name == "backdoor":
            success = (f"{p['backdoor_success'].mean():.2f} ({p['backdoor_success'].sem():.2f})" for p in part.values())
            attacked.append(("benign clients", *success))
    heading = ("contamination", "exact set", "found, missed, wrongly flagged", *names)
    return (
        plain_table("copying-contaminations", heading, lines),
        plain_table("copying-backdoor", ("success of the backdoor", *names), attacked),
    )
