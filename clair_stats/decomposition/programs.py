"""The three convex programs as objects: how large the residual X − 1ᵀ⊗M − L − S may be, and its penalty.

They are stated in docs/theory.md, section 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np

from clair_stats.records import Program

__all__ = ["AnyProgram", "Ball", "Exact", "Noisy", "chosen_program"]


@dataclass(frozen=True)
class Exact:
    """Program (E): nothing is left over, X = 1ᵀ⊗M + L + S (theory.md section 2).

    Examples
    --------
    >>> from clair_stats import Exact
    >>> Exact()
    Exact()
    """

    letter: ClassVar[Program] = "E"
    noise_penalty: ClassVar[float] = 0.0
    noise_radius: ClassVar[float | None] = None

    def on_scale(self, scale: float) -> Exact:
        """The same program for estimates divided by ``scale``.

        Parameters
        ----------
        scale : float
            Positive.

        Returns
        -------
        Exact
        """
        return self


@dataclass(frozen=True)
class Ball:
    """Program (B): what is left over has Frobenius norm at most the radius (theory.md section 2).

    Parameters
    ----------
    radius : float
        ε ≥ 0, scale of the estimates.

    Raises
    ------
    ValueError
        For a radius that is negative or not finite.

    Examples
    --------
    >>> from clair_stats import Ball
    >>> Ball(0.5)
    Ball(radius=0.5)
    """

    radius: float
    letter: ClassVar[Program] = "B"
    noise_penalty: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        radius = _number(self.radius, "noise_radius", "ε")
        if not (math.isfinite(radius) and radius >= 0):
            raise ValueError(f"noise_radius: {self.radius!r}; give ε ≥ 0, or None for program (E) or (N)")
        object.__setattr__(self, "radius", radius)

    @property
    def noise_radius(self) -> float:
        """ε, under the name that it has in a record."""
        return self.radius

    def on_scale(self, scale: float) -> Ball:
        """The same program for estimates divided by ``scale``.

        Parameters
        ----------
        scale : float
            Positive.

        Returns
        -------
        Ball
            With its radius divided by the scale.
        """
        return Ball(self.radius / scale)


@dataclass(frozen=True)
class Noisy:
    """Program (N): half the squared norm of what is left over is added to τ times the norms (theory.md section 2).

    Parameters
    ----------
    penalty : float
        τ > 0, scale of the estimates.

    Raises
    ------
    ValueError
        For a penalty that is not positive and finite.

    Examples
    --------
    >>> from clair_stats import Noisy
    >>> Noisy(6.0)
    Noisy(penalty=6.0)
    """

    penalty: float
    letter: ClassVar[Program] = "N"
    noise_radius: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        penalty = _number(self.penalty, "noise_penalty", "τ")
        if not (math.isfinite(penalty) and penalty > 0):
            raise ValueError(f"noise_penalty: {self.penalty!r}; give τ > 0 for Noisy, or Exact() for program (E)")
        object.__setattr__(self, "penalty", penalty)

    @property
    def noise_penalty(self) -> float:
        """τ, under the name that it has in a record."""
        return self.penalty

    def on_scale(self, scale: float) -> Noisy:
        """The same program for estimates divided by ``scale``.

        Parameters
        ----------
        scale : float
            Positive.

        Returns
        -------
        Noisy
            With its penalty divided by the scale.
        """
        return Noisy(self.penalty / scale)


AnyProgram: TypeAlias = Exact | Ball | Noisy


def _number(value: object, field: str, symbol: str) -> float:
    """A real number that a caller gave; text and booleans are none."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{field}: {value!r}; give {symbol} as a number on the scale of the estimates")
    return float(value)


def chosen_program(program: AnyProgram | None, noise_penalty: float, noise_radius: float | None) -> AnyProgram:
    """The program that a caller asked for, as an object or by the numbers τ and ε.

    Parameters
    ----------
    program : Exact, Ball or Noisy, optional
        When given, the two numbers must have their defaults.
    noise_penalty : float
        τ; (N) when positive.
    noise_radius : float or None
        ε; (B) when given.

    Returns
    -------
    Exact, Ball or Noisy

    Raises
    ------
    TypeError
        When ``program`` is something else.
    ValueError
        When the program is given twice, or a number is out of range.
    """
    if program is not None:
        if not isinstance(program, Exact | Ball | Noisy):
            raise TypeError(f"program: {program!r}; give Exact(), Ball(radius) or Noisy(penalty)")
        if noise_penalty or noise_radius is not None:
            raise ValueError("program is given beside noise_penalty or noise_radius; give the program alone")
        return program
    tau = _number(noise_penalty, "noise_penalty", "τ")
    if not (math.isfinite(tau) and tau >= 0):
        raise ValueError(f"noise_penalty: {noise_penalty!r}; give τ ≥ 0 (0 chooses program (E))")
    if noise_radius is None:
        return Noisy(tau) if tau > 0 else Exact()
    if tau > 0:
        Ball(noise_radius)  # a radius out of range is the first thing to mend
        raise ValueError("noise_penalty and noise_radius are both given; give τ for program (N) or ε for (B), not both")
    return Ball(noise_radius)
