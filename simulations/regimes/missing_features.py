"""Which features are missing, and what a client does about it before it fits.

Patterns
    ``random``: every entry is missing by itself with the same probability.  ``block``: each client has a block of three
    quarters of its neighbouring features (round a circle), and an observation lacks all of it or nothing.  Neither
    depends on any value (missing completely at random), and the share of missing entries is the same.

Handlings, each with the covariance that the client hands on
    ``complete``: observations with a missing feature are left out; HC2 of what remains, which is nearly right.
    ``mean``: the mean of the client's observed entries; HC2 as if they had been observed.
    ``iterative``: scikit-learn's IterativeImputer on the features alone, its conditional means; HC2 likewise.
    ``multiple``: the same on features and responses, five draws from its predictive law; Rubin's covariance, within
    and 6/5 of that between the draws (Rubin, Multiple Imputation for Nonresponse in Surveys, 1987, section 3.1).
    ``sparse``: reconstruction by a dictionary learnt with the predictor (:mod:`simulations.regimes.sparse_codes`),
    observed entries kept; HC2 as if they had been observed.

Responses that are labels get a logistic fit in the place of least squares, with the inverse information in the place of
HC2; the dictionary is then learnt with the classifier, and multiple imputation has the labels in its normal model.
"""

from __future__ import annotations

import math
import warnings
from typing import Literal, TypeAlias

import numpy as np

from clair_stats.local_fits import LocalFit, fit_glm, fit_least_squares
from clair_stats.records import BoolArray, FloatArray
from simulations.regimes.sparse_codes import Loss, learn_sparse_codes

__all__ = ["HANDLINGS", "Handling", "Pattern", "draw_observed", "fit_incomplete"]

Pattern: TypeAlias = Literal["random", "block"]
Handling: TypeAlias = Literal["complete", "mean", "iterative", "multiple", "sparse"]
HANDLINGS: tuple[Handling, ...] = ("complete", "mean", "iterative", "multiple", "sparse")

BLOCK = 0.75  # share of the features in a client's block
_ROUNDS = {"iterative": 5, "multiple": 3}
_DRAWS = 5
_SPARSITY, _SUPERVISION = 0.3, 0.1  # λ and γ at variance 1, chosen by reconstruction error on one seed of development


def draw_observed(
    n: int, n_features: int, *, missing: float, pattern: Pattern, generator: np.random.Generator
) -> BoolArray:
    """Mask of one client's observed entries.

    Parameters
    ----------
    n, n_features : int
    missing : float
        Expected share of missing entries, at most the share of a block where the pattern is one.
    pattern : {"random", "block"}
    generator : numpy.random.Generator

    Returns
    -------
    ndarray of bool, shape (n, n_features)
    """
    if pattern == "random":
        return np.asarray(generator.random((n, n_features)) >= missing)
    width = math.ceil(BLOCK * n_features)
    block = (generator.integers(n_features) + np.arange(width)) % n_features
    observed = np.ones((n, n_features), dtype=np.bool_)
    observed[np.ix_(generator.random(n) < missing * n_features / width, block)] = False
    return observed


def fit_incomplete(
    features: FloatArray,
    observed: BoolArray,
    responses: FloatArray,
    handling: Handling,
    *,
    n_atoms: int,
    generator: np.random.Generator,
    client: str,
    loss: Loss = "squares",
) -> LocalFit:
    """Least squares, or logistic regression, of the responses on features with missing entries.

    Parameters
    ----------
    features : ndarray, shape (n, p)
        Entries that are not observed are not looked at.
    observed : ndarray of bool, shape (n, p)
    responses : ndarray, shape (n, q)
    handling : str
        One of :data:`HANDLINGS`.
    n_atoms : int
        Size of the dictionary of ``sparse``.
    generator : numpy.random.Generator
        For draws and starting points.
    client : str
        Name used in messages.
    loss : {"squares", "logistic"}
        "logistic": responses are labels 0 and 1.

    Returns
    -------
    LocalFit

    Raises
    ------
    ValueError
        What is left does not determine the coefficients (too few observations, or separated labels), or a feature was
        never observed; names the client.
    """
    whole = observed.all(axis=1)
    if handling == "complete" or whole.all():
        if whole.sum() <= features.shape[1]:
            raise ValueError(
                f"{client}: {whole.sum()} complete observations do not determine {features.shape[1]} coefficients; "
                "impute, or give more observations"
            )
        return _fit(features[whole], responses[whole], loss, client)
    if not observed.any(axis=0).all():
        raise ValueError(f"{client}: a feature was never observed; leave it out")
    if handling == "multiple":
        return _multiple(features, observed, responses, generator, client, loss)
    if handling == "mean":
        fill = np.nanmean(np.where(observed, features, np.nan), axis=0) * np.ones_like(features)
    elif handling == "iterative":
        fill = _imputer("iterative", generator).fit_transform(np.where(observed, features, np.nan))
    else:
        scale = responses.std(axis=0) if loss == "squares" else 1.0
        model = learn_sparse_codes(
            features,
            observed,
            responses / scale,
            n_atoms=n_atoms,
            sparsity=_SPARSITY,
            supervision=_SUPERVISION,
            generator=generator,
            loss=loss,
        )
        fill = model.reconstruction
    return _fit(np.where(observed, features, fill), responses, loss, client)


def _fit(features: FloatArray, responses: FloatArray, loss: Loss, client: str) -> LocalFit:
    """What a client does with features that are complete, or taken to be."""
    if loss == "logistic":
        return fit_glm(features, responses, family="logistic", client=client)
    return fit_least_squares(features, responses, covariance="HC2", client=client)


class _Imputer:
    """scikit-learn's imputer, whose message that it has not converged is left out: the rounds are fixed."""

    def __init__(self, rounds: int, *, draws: bool, seed: int) -> None:
        try:
            from sklearn.experimental import enable_iterative_imputer  # noqa: F401
            from sklearn.impute import IterativeImputer
        except ImportError as error:
            raise ImportError(
                "iterative imputation needs scikit-learn; install it with: pip install 'clair-stats[studies]'"
            ) from error
        self._imputer = IterativeImputer(max_iter=rounds, sample_posterior=draws, random_state=seed)

    def fit_transform(self, table: FloatArray) -> FloatArray:
        """The table (n, columns) with its missing entries filled."""
        return self._quietly("fit_transform", table)

    def transform(self, table: FloatArray) -> FloatArray:
        """The table (n, columns) filled anew by the laws that were fitted."""
        return self._quietly("transform", table)

    def _quietly(self, name: str, table: FloatArray) -> FloatArray:
        from sklearn.exceptions import ConvergenceWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return np.asarray(getattr(self._imputer, name)(table), dtype=np.float64)


def _imputer(handling: Literal["iterative", "multiple"], generator: np.random.Generator) -> _Imputer:
    seed = int(generator.integers(2**31))
    return _Imputer(_ROUNDS[handling], draws=handling == "multiple", seed=seed)


def _multiple(
    features: FloatArray,
    observed: BoolArray,
    responses: FloatArray,
    generator: np.random.Generator,
    client: str,
    loss: Loss,
) -> LocalFit:
    """Rubin's rules on draws from one chain of imputations."""
    p = features.shape[1]
    table = np.hstack([np.where(observed, features, np.nan), responses])
    imputer = _imputer("multiple", generator)
    draws = [imputer.fit_transform(table), *(imputer.transform(table) for _ in range(_DRAWS - 1))]
    fits = [_fit(draw[:, :p], responses, loss, client) for draw in draws]
    estimates = np.stack([fit.estimate for fit in fits])
    mean = estimates.mean(axis=0)
    apart = estimates - mean
    between = np.einsum("dij,dkl->ijkl", apart, apart) / (_DRAWS - 1)
    within = np.mean([np.einsum("ik,jl->ijkl", fit.row_covariance, fit.column_covariance) for fit in fits], axis=0)
    return LocalFit.from_full_covariance(
        mean,
        within + (1.0 + 1.0 / _DRAWS) * between,
        effective_sample_size=fits[0].effective_sample_size,
        residual_degrees_of_freedom=fits[0].residual_degrees_of_freedom,
        converged=True,
        message=f"{_DRAWS} imputations",
    )
