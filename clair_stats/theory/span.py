"""When (E) finds the span although it corrects benign clients: docs/derivations/recovery.md, section 5."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.records import BoolArray
from clair_stats.theory.leverage import block_leverages
from clair_stats.theory.recovery import penalty_range

__all__ = ["SpanWindow", "span_window"]


@dataclass(frozen=True, eq=False)
class SpanWindow:
    """Penalties for which every solution of (E) has column space span(U*) and corrects O and at most ``set_aside``."""

    lowest: float
    highest: float
    set_aside: BoolArray  # (|C|,) benign clients of large leverage whose blocks may be corrected too

    @property
    def support(self) -> bool:
        """Whether the support is promised as well: nobody is set aside."""
        return not bool(self.set_aside.any())


def span_window(coefficients: ArrayLike, *, n_contaminated: int, common_component: bool = False) -> SpanWindow | None:
    """Widest window of the span theorem, setting aside benign clients of large leverage one after the other.

    Parameters
    ----------
    coefficients : array_like, shape (|C|, q, r)
        Benign coefficients A_k.
    n_contaminated : int
        |O| ≥ 0, whatever they hold.
    common_component : bool
        Whether M is free.

    Returns
    -------
    SpanWindow or None
        The widest window in log λ over the numbers of clients set aside; None when there is none.

    Raises
    ------
    TypeError, ValueError
        As :func:`clair_stats.theory.block_leverages`; a negative ``n_contaminated``.

    Notes
    -----
    For any T ⊂ C the clients of T may be counted with O: √ν(C∖T) < λ < 1/√(|O| + |T|) without common component.  Which
    T is best is a combinatorial question; the largest leverage is set aside first, so that the window is valid but
    perhaps not the widest.  docs/derivations/recovery.md, section 5.

    Examples
    --------
    >>> import numpy as np
    >>> heavy = np.array([10.0] + [1.0] * 9).reshape(10, 1, 1)
    >>> window = span_window(heavy, n_contaminated=3)
    >>> round(window.lowest, 3), window.highest, window.support
    (0.333, 0.5, False)
    """
    if n_contaminated < 0:
        raise ValueError(f"n_contaminated: {n_contaminated}; give a number of clients, at least 0")
    blocks = np.asarray(coefficients, dtype=np.float64)
    leverages = block_leverages(blocks, common_component=common_component)
    n_benign, q, rank = blocks.shape
    kept = np.ones(n_benign, dtype=bool)
    best: SpanWindow | None = None
    while True:
        n_kept = int(kept.sum())
        window = penalty_range(
            block_leverage=float(leverages.max()),
            n_benign=n_kept,
            n_contaminated=n_contaminated + n_benign - n_kept,
            common_component=common_component,
            columns=q,
        )
        if window is not None and (best is None or window[2] * best.lowest > best.highest * window[0]):
            best = SpanWindow(window[0], window[2], ~kept)
        kept[np.flatnonzero(kept)[int(np.argmax(leverages))]] = False
        if (int(kept.sum()) - common_component) * q < rank:
            return best
        try:
            leverages = block_leverages(blocks[kept], common_component=common_component)
        except ValueError:  # the clients that are left no longer span the subspace
            return best
