"""Attacks on a client's *data*, named as in the field, and the target that a client trained on such data converges to.

=================  ==============================================  =================================================
attack             what happens to the labels                      population target
=================  ==============================================  =================================================
label_flip         y → 1 − y; class c → last class − c              −Θ (logistic); Θ CᵀPC (multinomial)
random_labels      labels without any relation to the design       0 (balanced labels)
label_permutation  one derangement of the responses or classes,     Θ P; Θ CᵀPC (multinomial)
                   the same for all attacked clients
backdoor           a share of the rows carries a trigger in the    no closed form: the fit of a sample of 20,000 rows
                   design, and the attacker's label
=================  ==============================================  =================================================

C is the matrix of class contrasts.  The mean under these attacks follows the client's own model (the first three) or
leaves it (backdoor): then the fit is a projection and its noise scale only an approximation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np

from clair_stats.local_fits import class_contrasts
from clair_stats.records import FloatArray
from simulations.regimes.contamination import coordinated_label_permutation

__all__ = ["BACKDOOR_ROWS", "DATA_ATTACKS", "DataAttack", "LabelKind", "attack_target", "backdoor", "poison_labels"]

LabelKind: TypeAlias = Literal["binary", "classes"]
DataAttack: TypeAlias = Literal["none", "label_flip", "random_labels", "label_permutation", "backdoor"]
DATA_ATTACKS: tuple[DataAttack, ...] = ("none", "label_flip", "random_labels", "label_permutation", "backdoor")

BACKDOOR_ROWS = 20_000


def _permutation(attack: DataAttack, size: int, generator: np.random.Generator) -> np.ndarray:
    if attack == "label_flip":
        return np.arange(size)[::-1]
    return np.asarray(coordinated_label_permutation(size, generator))


def poison_labels(
    labels: FloatArray, *, attack: DataAttack, kind: LabelKind, n_classes: int, generator: np.random.Generator
) -> FloatArray:
    """Labels after the attack.

    Parameters
    ----------
    labels : ndarray, shape (n, q) of 0/1 for ``kind="binary"``, (n,) of 0 … n_classes − 1 for ``kind="classes"``
    attack : {"label_flip", "random_labels", "label_permutation"}
    kind : {"binary", "classes"}
    n_classes : int
        Ignored for binary labels.
    generator : numpy.random.Generator
        For the permutation give every attacked client a generator at the same state, so that they agree on one.

    Raises
    ------
    ValueError
        An attack that does not act on labels alone.
    """
    if attack == "random_labels":
        return np.asarray(generator.integers(0, 2 if kind == "binary" else n_classes, labels.shape), dtype=labels.dtype)
    if attack == "label_flip" and kind == "binary":
        return 1.0 - labels
    if attack not in ("label_flip", "label_permutation"):
        raise ValueError(f"attack: {attack!r} does not act on labels alone; use label_flip, random_labels or similar")
    permutation = _permutation(attack, labels.shape[1] if kind == "binary" else n_classes, generator)
    if kind == "binary":
        return labels[:, permutation]
    return np.asarray(permutation[labels.astype(np.int64)], dtype=labels.dtype)


def attack_target(
    target: FloatArray, *, attack: DataAttack, kind: LabelKind, n_classes: int, generator: np.random.Generator
) -> FloatArray:
    """Where a client with target Θ (p, q) ends as n → ∞; arguments as in :func:`poison_labels`.

    Parameters
    ----------
    target : ndarray, shape (p, q)
        Θ.
    attack, kind, n_classes, generator
        As in :func:`poison_labels`.

    Returns
    -------
    ndarray, shape (p, q)
    """
    if attack == "random_labels":
        return np.zeros_like(target)
    if attack == "label_flip" and kind == "binary":
        return -target
    permutation = _permutation(attack, target.shape[1] if kind == "binary" else n_classes, generator)
    if kind == "binary":
        return target[:, permutation]
    # Scores Θ Cᵀ of the true classes become those of the permuted ones; back to contrasts by another C.
    contrasts = class_contrasts(n_classes)
    scores = target @ contrasts.T
    moved = np.empty_like(scores)
    moved[:, permutation] = scores
    return np.asarray(moved @ contrasts, dtype=np.float64)


def backdoor(
    design: FloatArray,
    labels: FloatArray,
    *,
    trigger: FloatArray,
    share: float,
    label: Callable[[FloatArray], FloatArray],
    generator: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Add ``trigger`` (p,) to a random ``share`` of the rows and give them the attacker's label.

    Parameters
    ----------
    design, labels : ndarray, shapes (n, p) and (n, …)
    trigger : ndarray, shape (p,)
    share : float
        Of the rows, in (0, 1).
    label : callable
        The marked rows' labels -> the labels the attacker wants.
    generator : numpy.random.Generator

    Returns
    -------
    design, labels
        Copies; the arguments stay as they are.

    Raises
    ------
    ValueError
        A share outside (0, 1).
    """
    if not 0.0 < share < 1.0:
        raise ValueError(f"share: {share}; give the share of poisoned rows, between 0 and 1")
    marked = generator.permutation(design.shape[0])[: max(1, round(share * design.shape[0]))]
    poisoned, changed = design.copy(), labels.copy()
    poisoned[marked] += trigger
    changed[marked] = label(labels[marked])
    return poisoned, changed
