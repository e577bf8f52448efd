"""A linear predictor learnt together with a dictionary and sparse codes from incomplete features.

After C. F. Caiafa, Z. Wang, J. Solé-Casals and Q. Zhao, "Learning from incomplete features by simultaneous training of
neural networks and sparse coding" (CVPR workshop on learning from limited and imperfect data, 2021; arXiv 2011.14047),
with a linear predictor in the place of a network:

    min over ‖d_a‖ ≤ 1, S, W of  ½‖M ∘ (Z − S Dᵀ)‖_F² + ½γ‖Y − S Dᵀ W‖_F² + ½γε‖W‖_F² + λ‖S‖₁,

M the mask of observed entries.  W has a closed form, S and D take proximal gradient steps with the step length 1/L of
their own Lipschitz constant, so that the objective never rises (PALM: Bolte, Sabach and Teboulle, Mathematical
Programming 146, 2014, Lemma 2).  The paper takes stochastic gradient steps; the objective has several minima, and this
finds one of them from a start that the data fix.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clair_stats.records import BoolArray, FloatArray

__all__ = ["SparseModel", "learn_sparse_codes", "objective"]

_STEPS = 200
_CODE_STEPS = 3  # of the codes, between two of the dictionary
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
    """
    dictionary, codes, predictor = model
    rebuilt = codes @ dictionary.T
    return float(
        0.5 * np.sum((features - rebuilt)[observed] ** 2)
        + 0.5 * supervision * np.sum((responses - rebuilt @ predictor) ** 2)
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
    values = [objective(z, observed, responses, (dictionary, codes, predictor), **told)]
    for _ in range(_STEPS):
        for _ in range(_CODE_STEPS):
            pull = _residual(z, observed, responses, dictionary, codes, predictor, supervision) @ dictionary
            length = 1.0 / _curvature(dictionary, predictor, supervision)
            moved = codes - length * pull
            codes = np.sign(moved) * np.maximum(np.abs(moved) - length * sparsity, 0.0)
        pull = _residual(z, observed, responses, dictionary, codes, predictor, supervision).T @ codes
        size = float(np.linalg.norm(codes, 2)) ** 2 * (1.0 + supervision * float(np.linalg.norm(predictor, 2)) ** 2)
        dictionary = dictionary - pull / max(size, 1e-12)
        dictionary = dictionary / np.maximum(np.linalg.norm(dictionary, axis=0), 1.0)
        rebuilt = codes @ dictionary.T
        gram = rebuilt.T @ rebuilt + _RIDGE * np.eye(z.shape[1])
        predictor = np.linalg.solve(gram, rebuilt.T @ responses)
        values.append(objective(z, observed, responses, (dictionary, codes, predictor), **told))
    return SparseModel(dictionary, codes, predictor, np.array(values))


def _residual(
    features: FloatArray,
    observed: BoolArray,
    responses: FloatArray,
    dictionary: FloatArray,
    codes: FloatArray,
    predictor: FloatArray,
    supervision: float,
) -> FloatArray:
    """Derivative of the smooth part by the reconstruction S Dᵀ, (n, p); all arguments as in :func:`objective`."""
    rebuilt = codes @ dictionary.T
    return np.asarray(
        np.where(observed, rebuilt - features, 0.0) + supervision * (rebuilt @ predictor - responses) @ predictor.T
    )


def _curvature(dictionary: FloatArray, predictor: FloatArray, supervision: float) -> float:
    """A Lipschitz constant of the derivative by the codes: ‖D‖²(1 + γ‖W‖²)."""
    return float(np.linalg.norm(dictionary, 2)) ** 2 * (1.0 + supervision * float(np.linalg.norm(predictor, 2)) ** 2)
