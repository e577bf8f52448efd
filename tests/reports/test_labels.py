import math

from reports.labels import labels, settings


def test_methods_are_told_apart_by_what_differs_and_is_on():
    rows = [
        {"method": "CLAIR", "method.whiten": False, "method.level": 0.05, "method.tolerance": 0},
        {"method": "CLAIR", "method.whiten": True, "method.level": 0.05, "method.tolerance": 0},
        {"method": "CLAIR", "method.whiten": True, "method.level": 0.05, "method.tolerance": 1.5},
        {"method": "Local", "method.whiten": None, "method.level": math.nan, "method.tolerance": None},
    ]
    assert labels(rows, "method") == ["CLAIR", "CLAIR (whiten)", "CLAIR (whiten, tolerance 1.5)", "Local"]


def test_settings_name_factors_always_and_single_departures_only_where_they_depart():
    def regime(share, n, spread):
        return {"regime": "gaussian", "regime.share": share, "regime.n": n, "regime.spread": spread, "measure": "x"}

    rows = [regime(0.0, 5, 1), regime(0.0, 9, 1), regime(0.3, 5, 1), regime(0.3, 9, 1), regime(0.3, 9, 20)]
    # Every regime comes several times (methods, measures); that must not turn a departure into a factor.
    names = settings(rows * 3)
    assert names[:5] == [
        "share 0, n 5",
        "share 0, n 9",
        "share 0.3, n 5",
        "share 0.3, n 9",
        "share 0.3, n 9, spread 20",
    ]
    assert names[5:10] == names[:5]


def test_several_kinds_of_regime_are_named():
    rows = [{"regime": "gaussian", "regime.n": 5}, {"regime": "digits", "regime.n": 5}]
    assert settings(rows) == ["gaussian", "digits"]


def test_a_field_is_a_factor_among_settings_of_its_kind():
    """What all digits share is not told of them because the others are without it."""
    rows = [{"regime": "digits", "regime.rank": rank, "regime.n": math.nan, "regime.ridge": 1.0} for rank in (0, 3)]
    rows += [{"regime": "gaussian", "regime.rank": 2, "regime.n": n, "regime.ridge": None} for n in (5, 9)]
    assert settings(rows) == ["digits, rank 0", "digits, rank 3", "gaussian, n 5", "gaussian, n 9"]


def test_a_switch_is_told_in_words():
    rows = [{"regime": "gaussian", "regime.noise_known": known} for known in (True, False)]
    assert settings(rows) == ["noise known: yes", "noise known: no"]


def test_a_factor_of_single_values_is_named_in_full():
    rows = [{"regime": "gaussian", "regime.n": n} for n in (5, 10, 20)]
    assert settings(rows) == ["n 5", "n 10", "n 20"]
