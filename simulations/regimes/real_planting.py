"""What a planted client does to its own training data, before it fits.

* ``reversed``: every response has the opposite sign, as when a scale is coded the other way round.
* ``shuffled``: responses are dealt out anew among the client's observations, as when two files are joined by a wrong
  key; what is left is noise about no effect at all.
* ``permuted``: the features stand in a wrong order, each planted client in its own, no feature in its place.
* ``mislabelled``: the responses carry each other's names, in one order common to all planted clients, none in its
  place; needs two responses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from clair_stats.records import FloatArray
from simulations.regimes.contamination import coordinated_label_permutation

__all__ = ["PLANTINGS", "plant"]

Order = NDArray[np.int64]
_Planting = Callable[[FloatArray, FloatArray, Order, np.random.Generator], tuple[FloatArray, FloatArray]]


def _reversed(
    features: FloatArray, responses: FloatArray, order: Order, generator: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    return features, -responses


def _shuffled(
    features: FloatArray, responses: FloatArray, order: Order, generator: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    return features, responses[generator.permutation(len(responses))]


def _permuted(
    features: FloatArray, responses: FloatArray, order: Order, generator: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    return features[:, coordinated_label_permutation(features.shape[1], generator)], responses


def _mislabelled(
    features: FloatArray, responses: FloatArray, order: Order, generator: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    return features, responses[:, order]


PLANTINGS: Mapping[str, _Planting] = MappingProxyType(
    {"reversed": _reversed, "shuffled": _shuffled, "permuted": _permuted, "mislabelled": _mislabelled}
)


def plant(
    kind: str, features: FloatArray, responses: FloatArray, *, order: Order, generator: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Training data of one planted client.

    Parameters
    ----------
    kind : str
        A key of :data:`PLANTINGS`.
    features : ndarray, shape (n, p)
    responses : ndarray, shape (n, q)
    order : ndarray of int, shape (q,)
        The common order of responses, for ``mislabelled``.
    generator : numpy.random.Generator

    Returns
    -------
    tuple of ndarray, shapes (n, p) and (n, q)
    """
    return PLANTINGS[kind](features, responses, order, generator)
