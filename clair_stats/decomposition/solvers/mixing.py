"""Anderson mixing of a fixed-point iteration, depth two (Anderson, J. ACM 12(4), 1965)."""

from __future__ import annotations

import numpy as np

from clair_stats.records import FloatArray

__all__ = ["Mixing"]

# Two steps closer to one direction than this (squared sine) count as one.
_DEPENDENT = 1e-10


class Mixing:
    """x ← the combination of the last images whose combined step is smallest.

    A fixed point of the mixed iteration is one of the plain map.

    Parameters
    ----------
    reach : float
        Where the combination lies further than this from the image, in any coordinate, the image is taken and the past
        forgotten: a guess that far belongs to no line through the last points.
    """

    def __init__(self, reach: float) -> None:
        self._reach = reach
        self._past: list[tuple[FloatArray, FloatArray]] = []  # (image, step), the latest last

    def restart(self) -> None:
        """Forget the past."""
        self._past = []

    def next(self, point: FloatArray, image: FloatArray) -> FloatArray:
        """The next point.

        Parameters
        ----------
        point, image : ndarray, shape (n,)
            A point and its image under the map.

        Returns
        -------
        ndarray, shape (n,)
        """
        step = image - point
        past, self._past = self._past, [*self._past[-1:], (image, step)]
        correction = _correction(step, image, past)
        if correction is None:
            return image
        if max(float(correction.max()), -float(correction.min())) > self._reach:
            self.restart()
            return image
        return np.asarray(image - correction, dtype=np.float64)


def _correction(step: FloatArray, image: FloatArray, past: list[tuple[FloatArray, FloatArray]]) -> FloatArray | None:
    """Σ γ_i(image − past image_i), γ the least squares solution of ‖step − Σ γ_i(step − past step_i)‖.

    Two unknowns at most, by Cramer's rule.
    """
    if not past:
        return None
    newest, moved = step - past[-1][1], image - past[-1][0]
    square, right = float(newest @ newest), float(newest @ step)
    if square == 0.0:
        return None
    if len(past) == 2:
        oldest = step - past[0][1]
        mixed, other, left = float(newest @ oldest), float(oldest @ oldest), float(oldest @ step)
        determinant = square * other - mixed * mixed
        if determinant > _DEPENDENT * square * other:
            first = (right * other - left * mixed) / determinant
            second = (left * square - right * mixed) / determinant
            return np.asarray(first * moved + second * (image - past[0][0]), dtype=np.float64)
    return np.asarray((right / square) * moved, dtype=np.float64)
