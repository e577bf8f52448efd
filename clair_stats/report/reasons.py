"""The reason why a client was flagged, in words that suggest what to check.

The words describe the off-subspace residual D_k = (I − P_U)(X_k − M) of theory.md section 1; they explain a decision
that :mod:`clair_stats.detection.detect` has taken and change nothing about it.
"""

from __future__ import annotations

import numpy as np

from clair_stats.linalg import block_norms, project_off
from clair_stats.records import Detection, FloatArray

__all__ = ["explain_clients", "margins"]

# Descriptive cut-offs, not tests.  Two independent p × q residuals have cosine of order 1/√((p − r)q), so 0.5 is far
# outside chance from 5 × 5 upward; a residual with half its energy in one direction is not isotropic noise.
_ALIGNED = 0.5
_RANK_ONE_SHARE = 0.5
_SCALED = 3.0


def explain_clients(
    blocks: FloatArray, detection: Detection, *, basis: FloatArray, common: FloatArray, names: tuple[str, ...]
) -> tuple[str, ...]:
    """One sentence for every client.

    Parameters
    ----------
    blocks : array, shape (K, p, q)
        The local estimators X_k.
    detection : Detection
        Scores, thresholds and the collaborative set.
    basis : array, shape (p, r)
        Estimated subspace.
    common : array, shape (p, q)
        Estimated common component.
    names : tuple of K str
        Client names, used when one client is described through another.

    Returns
    -------
    tuple of K str
        The margin for benign clients; for flagged ones also size, direction and company.
    """
    deviation = blocks - common
    residual = project_off(basis, deviation)
    norms = block_norms(residual)
    benign = detection.collaborative_set
    sentences = []
    for k in range(len(names)):
        ratio = _ratio(float(detection.scores[k]), float(detection.threshold[k]))
        if benign[k]:
            sentences.append(ratio)
        else:
            traits = _traits(k, blocks, residual, norms, benign, names)
            sentences.append("; ".join([ratio, *traits]))
    return tuple(sentences)


def margins(detection: Detection, *, decided: bool) -> tuple[str, ...]:
    """How far every client is from its threshold, K sentences; said to be undecided without a verdict.

    Parameters
    ----------
    detection : Detection
    decided : bool
        Whether there is a verdict.

    Returns
    -------
    tuple of str
        One per client.
    """
    word = "" if decided else "undecided: "
    return tuple(word + _ratio(float(s), float(t)) for s, t in zip(detection.scores, detection.threshold, strict=True))


def _ratio(score: float, threshold: float) -> str:
    return f"{score / threshold:.2g} × the threshold" if threshold > 0 else "above a threshold of 0"


def _traits(
    k: int, blocks: FloatArray, residual: FloatArray, norms: FloatArray, benign: np.ndarray, names: tuple[str, ...]
) -> list[str]:
    """What kind of contamination it looks like: scaled, sign-flipped, one direction, shared with others."""
    traits = []
    sizes = block_norms(blocks)
    usual = float(np.median(sizes[benign])) if benign.any() else 0.0
    if usual > 0 and sizes[k] > _SCALED * usual:
        traits.append(f"{sizes[k] / usual:.2g} × the usual norm")
    if benign.any():
        centre = blocks[benign].mean(axis=0)
        cosine = _cosine(blocks[k], centre)
        if cosine < -_ALIGNED:
            traits.append(f"points against the benign average (cosine {cosine:.2f})")
    if norms[k] > 0:
        top = float(np.linalg.norm(residual[k] / norms[k], 2)) ** 2
        if top > _RANK_ONE_SHARE and min(residual.shape[1:]) > 1:
            traits.append(f"{100 * top:.0f} % of it in one direction")
    others = [j for j in np.flatnonzero(~benign) if j != k and norms[j] > 0]
    if others and norms[k] > 0:
        cosines = np.array([_cosine(residual[k], residual[j]) for j in others])
        closest = int(np.argmax(np.abs(cosines)))
        if abs(cosines[closest]) > _ALIGNED:
            traits.append(f"aligned with {names[others[closest]]} (cosine {cosines[closest]:.2f}): coordinated")
    return traits


def _cosine(first: FloatArray, second: FloatArray) -> float:
    sizes = block_norms(np.stack([first, second]))
    return float(np.sum((first / sizes[0]) * (second / sizes[1]))) if sizes.all() else 0.0
