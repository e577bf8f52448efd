"""Formatting of numbers: a value to the second digit of its standard error, 0.948(72) for 0.948 ± 0.072."""

from __future__ import annotations

import math
import re

__all__ = ["column_power", "is_number", "number", "p_value", "superscript", "table_format", "with_error", "with_limits"]

UNDEFINED = "--"
_MOST_DECIMALS = 7
_ROUNDING = 1e-12
_SHAPE = re.compile(
    r"^(?P<sign>-?)(?P<whole>\d+)(?:\.(?P<decimals>\d+))?(?:\((?P<error>\d+)\))?(?:e(?P<power>-?\d+))?$"
)


def _needs_power(value: float) -> bool:
    return value != 0.0 and not 1e-3 <= abs(value) < 1e5


def number(value: float, digits: int = 3) -> str:
    """Significant digits without an error; "--" for what is not finite."""
    if not math.isfinite(value):
        return UNDEFINED
    if value == 0.0:
        return "0"
    if _needs_power(value):
        mantissa, power = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}e{int(power)}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


def column_power(values: list[float]) -> int:
    """Power of ten to take out of a column, 0 when its largest number needs none."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return 0 if largest == 0.0 or 0.1 <= largest < 1e4 else math.floor(math.log10(largest))


def superscript(power: int) -> str:
    """10⁻³ for −3."""
    return "10" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def with_error(value: float, error: float) -> str:
    """The value with its standard error on its last two digits, in the notation that siunitx reads.

    A value without variation (error 0, or only rounding) keeps three digits and no parenthesis; undefined values give
    "--".
    """
    if not math.isfinite(value):
        return UNDEFINED
    if not (math.isfinite(error) and error > _ROUNDING * abs(value)):
        return number(value)
    # A power of ten only where plain decimals would be long, so that a column stays in one notation.
    long = abs(value) >= 1e5 or 1 - math.floor(math.log10(error)) > _MOST_DECIMALS
    power = math.floor(math.log10(max(abs(value), error))) if long else 0
    value, error = value / 10.0**power, error / 10.0**power
    decimals = max(0, 1 - math.floor(math.log10(error)))
    # An error of 0.0996 rounds to 0.100: count its digits after rounding, not before.
    if round(error * 10**decimals) >= 100 and decimals > 0:
        decimals -= 1
    text = f"{value:.{decimals}f}({round(error * 10**decimals)})"
    return text + (f"e{power}" if power else "")


def with_limits(value: float, error: float, low: float, high: float) -> str:
    """:func:`with_error`; a proportion that never varied shows its Wilson limit instead, 1 (≥0.84) for 20 of 20.

    Parameters
    ----------
    value, error : float
        Estimate and Monte Carlo standard error.
    low, high : float
        Ends of its 95 % interval.
    """
    if error == 0.0 and low < high:
        if value == 1.0 and abs(high - 1.0) < _ROUNDING:
            return f"1 (≥{number(low, 2)})"
        if value == 0.0 and abs(low) < _ROUNDING:
            return f"0 (≤{number(high, 2)})"
    return with_error(value, error)


def is_number(text: str) -> bool:
    """Whether siunitx can read the cell."""
    return _SHAPE.match(text) is not None


def p_value(value: float) -> str:
    """Three decimals, "<0.001" below; "--" when undefined."""
    if not math.isfinite(value):
        return UNDEFINED
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def table_format(cells: list[str]) -> str:
    """The siunitx ``table-format`` that holds every number of a column."""
    shapes = [match for cell in cells if (match := _SHAPE.match(cell))]
    if not shapes:
        return "1.3"
    sign = "-" if any(shape["sign"] for shape in shapes) else ""
    whole = max(len(shape["whole"]) for shape in shapes)
    decimals = max(len(shape["decimals"] or "") for shape in shapes)
    error = max(len(shape["error"] or "") for shape in shapes)
    powers = [shape["power"] for shape in shapes if shape["power"]]
    text = f"{sign}{whole}.{decimals}"
    if error:
        text += f"({error})"
    if powers:
        negative = "-" if any(power.startswith("-") for power in powers) else ""
        text += f"e{negative}{max(len(power.lstrip('-')) for power in powers)}"
    return text
