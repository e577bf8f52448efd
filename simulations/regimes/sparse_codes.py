"""A linear predictor learnt together with a dictionary and sparse codes from incomplete features.

After C. F. Caiafa, Z. Wang, J. Solé-Casals and Q. Zhao, "Learning from incomplete features by simultaneous training of
neural networks and sparse coding" (CVPR workshop on learning from limited and imperfect data, 2021; arXiv 2011.14047),
with a linear predictor in the place of a network:

    min over ‖d_a‖ ≤ 1, S, W of  ½‖M ∘ (Z − S Dᵀ)‖_F² + ½γ‖Y − S Dᵀ W‖_F² + ½γε‖W‖_F² + λ‖S‖₁,

M the mask of observed entries; for 0/1 labels the second term is γ times the negative log-likelihood of the logistic
model with scores S Dᵀ W.  W has a closed form for squares; S and D, and W for labels, take (proximal) gradient steps
with the step length 1/L of their own Lipschitz constant, to which the likelihood adds a quarter of what squares add, so
that the objective never rises (PALM: Bolte, Sabach and Teboulle, Mathematical Programming 146, 2014, Lemma 2).
The paper takes stochastic gradient steps; the objective has several minima, and this finds one of them from a start
that the data fix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import scipy.special

from clair_stats.records import BoolArray, FloatArray

__all__ = ["Loss", "SparseModel", "learn_sparse_codes", "objective"]

Loss: TypeAlias = Literal["squares", "logistic"]

_STEPS = 200
_CODE_STEPS = 3  # of the codes, between two of the dictionary
_PREDICTOR_STEPS = 5  # where the predictor has no closed form
_BEND = {"squares": 1.0, "logistic": 0.25}  # largest second derivative of the loss by a score
_RIDGE = 1e-3  # ε, so that W is determined at every step


@dataclass(frozen=True, eq=False)
class SparseModel:
    """Dictionary (p, m), codes (n, m), predictor (p, q), and the objective after every step."""

    dictionary: FloatArray
    codes: FloatArray
    predictor: FloatArray
    objectives: FloatArray  # (steps + 1,)

    @property
    def reconstruction(self) -> FloatArray:
        """S Dᵀ, (n, p)."""
        return np.asarray(self.codes @ self.dictionary.T, dtype=np.float64)


def objective(
    features: FloatArray,
    observed: BoolArray,
    responses: FloatArray,
    model: tuple[FloatArray, FloatArray, FloatArray],
    *,
    sparsity: float,
    supervision: float,
    loss: Loss = "squares",
) -> float:
    """The function at the head of this file.

    Parameters
    ----------
    features : ndarray, shape (n, p)
        Finite everywhere; what stands where ``observed`` is False does not count.
    observed : ndarray of bool, shape (n, p)
    responses : ndarray, shape (n, q)
    model : tuple of ndarray, shapes (p, m), (n, m) and (p, q)
        D, S, W.
    sparsity, supervision : float
        λ and γ.
    loss : {"squares", "logistic"}
    """
    dictionary, codes, predictor = model
    rebuilt = codes @ dictionary.T
    scores = rebuilt @ predictor
    missed = (
        0.5 * np.sum((responses - scores) ** 2)
        if loss == "squares"
        else np.sum(np.logaddexp(0.0, scores) - responses * scores)
    )
    return float(
        0.5 * np.sum((features - rebuilt)[observed] ** 2)
        + supervision * missed
        + 0.5 * supervision * _RIDGE * np.sum(predictor**2)
        + sparsity * np.abs(codes).sum()
    )


def _start(features: FloatArray, observed: BoolArray, n_atoms: int, generator: np.random.Generator) -> FloatArray:
    """Atoms: observations with zeros where entries are missing, at unit length."""
    rows = np.where(observed, features, 0.0)
    rows = rows[np.linalg.norm(rows, axis=1) > 0.0]
    chosen = rows[generator.choice(len(rows), n_atoms, replace=len(rows) < n_atoms)]
    return np.asarray((chosen / np.linalg.norm(chosen, axis=1, keepdims=True)).T, dtype=np.float64)


def learn_sparse_codes(
    features: FloatArray,
    observed: BoolArray,
    responses: FloatArray,
    *,
    n_atoms: int,
    sparsity: float,
    supervision: float,
    generator: np.random.Generator,
    loss: Loss = "squares",
) -> SparseModel:
    """Dictionary, codes and predictor of one client.

    Parameters
    ----------
    features : ndarray, shape (n, p)
        On a scale on which columns have variance about 1; entries not observed are ignored and may be NaN.
    observed : ndarray of bool, shape (n, p)
    responses : ndarray, shape (n, q)
    n_atoms : int
        m.
    sparsity, supervision : float
        λ ≥ 0 and γ ≥ 0; γ = 0 learns the dictionary without the responses.
    generator : numpy.random.Generator
        Chooses the observations that the atoms start from.
    loss : {"squares", "logistic"}
        Of the responses; "logistic" for labels 0 and 1.

    Returns
    -------
    SparseModel

    Raises
    ------
    ValueError
        No observed entry, or a column that is never observed.
    """
    unseen = np.flatnonzero(~observed.any(axis=0))
    if unseen.size:
        raise ValueError(f"sparse codes: feature {unseen[0]} is never observed; leave it out")
    z = np.where(observed, features, 0.0)
    dictionary = _start(z, observed, n_atoms, generator)
    codes = np.zeros((len(z), n_atoms))
    predictor = np.zeros((z.shape[1], responses.shape[1]))
    told = {"sparsity": sparsity, "supervision": supervision}
    values = [objective(z, observed, responses, (dictionary, codes, predictor), **told, loss=loss)]
    bend = _BEND[loss] * supervision
    for _ in range(_STEPS):
        for _ in range(_CODE_STEPS):
            pull = _residual(z, observed, responses, dictionary, codes, predictor, supervision, loss) @ dictionary
            length = 1.0 / (float(np.linalg.norm(dictionary, 2)) ** 2 * _curvature(predictor, bend))
            moved = codes - length * pull
            codes = np.sign(moved) * np.maximum(np.abs(moved) - length * sparsity, 0.0)
        pull = _residual(z, observed, responses, dictionary, codes, predictor, supervision, loss).T @ codes
        size = float(np.linalg.norm(codes, 2)) ** 2 * _curvature(predictor, bend)
        dictionary = dictionary - pull / max(size, 1e-12)
        dictionary = dictionary / np.maximum(np.linalg.norm(dictionary, axis=0), 1.0)
        predictor = _predictor(codes @ dictionary.T, responses, predictor, loss)
        values.append(objective(z, observed, responses, (dictionary, codes, predictor), **told, loss=loss))
    return SparseModel(dictionary, codes, predictor, np.array(values))


def _predictor(rebuilt: FloatArray, responses: FloatArray, start: FloatArray, loss: Loss) -> FloatArray:
    """W for given reconstructions, (p, q): the minimum for squares, gradient steps from ``start`` for labels."""
    if loss == "squares":
        gram = rebuilt.T @ rebuilt + _RIDGE * np.eye(rebuilt.shape[1])
        return np.asarray(np.linalg.solve(gram, rebuilt.T @ responses), dtype=np.float64)
    length = 1.0 / (_BEND[loss] * float(np.linalg.norm(rebuilt, 2)) ** 2 + _RIDGE)
    for _ in range(_PREDICTOR_STEPS):
        start = start - length * (rebuilt.T @ (scipy.special.expit(rebuilt @ start) - responses) + _RIDGE * start)
    return start


def _residual(
    features: FloatArray,
    observed: BoolArray,
    responses: FloatArray,
    dictionary: FloatArray,
    codes: FloatArray,
    predictor: FloatArray,
    supervision: float,
    loss: Loss,
) -> FloatArray:
    """Derivative of the smooth part by the reconstruction S Dᵀ, (n, p); all arguments as in :func:`objective`."""
    rebuilt = codes @ dictionary.T
    scores = rebuilt @ predictor
    missed = (scores if loss == "squares" else scipy.special.expit(scores)) - responses
    return np.asarray(np.where(observed, rebuilt - features, 0.0) + supervision * missed @ predictor.T)


def _curvature(predictor: FloatArray, bend: float) -> float:
    """A Lipschitz constant of that derivative by the reconstruction: 1 + γb‖W‖², b the largest bend of the loss."""
    return 1.0 + bend * float(np.linalg.norm(predictor, 2)) ** 2
