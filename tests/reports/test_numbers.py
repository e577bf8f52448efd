import math
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.numbers import column_power, number, p_value, superscript, table_format, with_error


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.9481, 0.0072, "0.9481(72)"),
        (0.9481, 0.072, "0.948(72)"),
        (12.3456, 1.2, "12.3(12)"),
        (123.456, 12.0, "123(12)"),
        (0.5, 0.0996, "0.50(10)"),
        (0.000123, 0.0000045, "0.0001230(45)"),
        (1.23e-9, 4.5e-11, "1.230(45)e-9"),
        (-0.00011, 0.0070, "-0.0001(70)"),
        (-2.0, 0.5, "-2.00(50)"),
        (0.0, 0.01, "0.000(10)"),
        (1.0, 0.0, "1.00"),
        (1.0, math.nan, "1.00"),
        (1.0, 3e-21, "1.00"),  # the rounding of a mean of equal numbers is no variation
        (math.nan, 0.1, "--"),
    ],
)
def test_value_with_its_error_on_the_last_two_digits(value, error, text):
    assert with_error(value, error) == text


@given(st.floats(-1e8, 1e8), st.floats(1e-6, 10.0))
def test_text_says_value_and_error_to_their_last_digit(value, relative):
    error = max(abs(value), 1e-3) * relative
    text = with_error(value, error)
    found = re.fullmatch(r"(-?\d+(?:\.(\d+))?)\((\d+)\)(?:e(-?\d+))?", text)
    assert found, text
    unit = Decimal(10) ** (int(found[4] or 0) - len(found[2] or ""))
    shown = float(Decimal(found[1]) * Decimal(10) ** int(found[4] or 0))
    assert shown == pytest.approx(value, abs=0.51 * float(unit) + 1e-12 * abs(value))
    assert float(int(found[3]) * unit) == pytest.approx(error, abs=0.51 * float(unit), rel=1e-9)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (3.14159, "3.14"), (314.159, "314"), (0.00012345, "1.23e-4"), (2e7, "2.00e7"), (math.inf, "--")],
)
def test_plain_numbers(value, text):
    assert number(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.0004, "<0.001"), (0.0314, "0.031"), (1.0, "1.000"), (math.nan, "--")])
def test_p_values(value, text):
    assert p_value(value) == text


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["0.948(72)", "--", "12.3(1)"], "2.3(2)"),
        (["-1.5", "0"], "-1.1"),
        (["1.23(45)e-4", "1.0e-12"], "1.2(2)e-2"),
        (["--"], "1.3"),
    ],
)
def test_format_of_a_column_holds_all_its_numbers(cells, expected):
    assert table_format(cells) == expected


@pytest.mark.parametrize(
    ("values", "power"),
    [([0.5, 0.001], 0), ([0.0123, -0.5], 0), ([0.0123, 0.001], -2), ([2e6], 6), ([math.nan, 0.0], 0)],
)
def test_power_taken_out_of_a_column(values, power):
    assert column_power(values) == power


def test_superscript():
    assert superscript(-13) == "10⁻¹³"
