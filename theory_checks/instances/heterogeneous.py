"""Members that differ off the subspace in the ways that shrinkage may meet: all of them, or one alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import orthonormal_basis, project_off
from clair_stats.records import FloatArray
from simulations.regimes.instance import Instance
from simulations.streams import Streams

__all__ = ["HETEROGENEITY", "Coloured", "Differing", "Leveraged", "Uniform"]

# Distance of client 0 from the others' mean, in norms of its noise off the subspace.
HETEROGENEITY = (0.0, 0.5, 1.0, 3.0, 10.0)
SCATTERED = ("scattered", "alone", "shifted-others")
_NOISE = 0.1


def _differences(kind: str, shape: tuple[int, int, int], basis: FloatArray, rng: np.random.Generator) -> FloatArray:
    """H_k off the subspace up to a factor, (n, p, q); client 0 is the one that is looked at."""
    blocks = project_off(basis, rng.standard_normal(shape))
    if kind == "shifted-others":
        blocks[1:] = blocks[1]
    blocks /= np.linalg.norm(blocks, axis=(1, 2), keepdims=True)
    if kind == "alone":
        blocks[1:] = 0.0
    elif kind == "shifted-others":
        blocks[0] = 0.0
    return blocks


def _instance(
    targets: FloatArray,
    basis: FloatArray,
    common: FloatArray,
    coefficients: FloatArray,
    heterogeneity: FloatArray,
    scales: FloatArray,
    rng: np.random.Generator,
) -> Instance:
    values = targets + scales[:, None, None] * rng.standard_normal(targets.shape)
    return Instance(
        targets=targets,
        basis=basis,
        common=common,
        coefficients=coefficients,
        heterogeneity=heterogeneity,
        collaborative_set=np.ones(targets.shape[0], dtype=np.bool_),
        estimates=ClientEstimates(values=values, noise_scales=scales),
    )


@dataclass(frozen=True, kw_only=True)
class Differing:
    """Four to twenty members, few or many entries, scales up to three times apart, heterogeneity of a few kinds."""

    name: ClassVar[str] = "differing-members"

    heterogeneity: float = 1.0  # ‖P_{U⊥}(Θ*_0 − mean of the others)‖ over the noise norm σ_0√((p − r)q)

    def generate(self, streams: Streams) -> Instance:
        """Everything from the stream "truth"."""
        rng = streams.generator("truth")
        rank, q = int(rng.integers(0, 3)), int(rng.integers(1, 9))
        off, n_members = int(rng.integers(3, 13)), int(rng.integers(4, 21))
        p = off + rank
        basis = orthonormal_basis(rng.standard_normal((p, p)), rank)
        common = project_off(basis, rng.standard_normal((p, q)))
        coefficients = rng.standard_normal((n_members, q, rank))
        scales = _NOISE * 3.0 ** rng.uniform(-0.5, 0.5, n_members)
        kind = str(rng.choice(SCATTERED))
        differences = _differences(kind, (n_members, p, q), basis, rng)
        away = differences[0] - np.average(differences[1:], axis=0, weights=scales[1:] ** -2.0)
        differences *= self.heterogeneity * scales[0] * np.sqrt(off * q) / np.linalg.norm(away)
        targets = common + basis @ coefficients.transpose(0, 2, 1) + differences
        return _instance(targets, basis, common, coefficients, differences, scales, rng)


@dataclass(frozen=True, kw_only=True)
class Uniform:
    """Members that differ inside the subspace only, equal scales, blocks of 150 entries off the subspace and more."""

    name: ClassVar[str] = "alike-members"

    def generate(self, streams: Streams) -> Instance:
        """Everything from the stream "truth"."""
        rng = streams.generator("truth")
        rank, q = int(rng.integers(1, 4)), int(rng.integers(6, 21))
        off, n_members = int(rng.integers(25, 41)), int(rng.integers(15, 41))
        basis = orthonormal_basis(rng.standard_normal((off + rank, off + rank)), rank)
        common = project_off(basis, rng.standard_normal((off + rank, q)))
        coefficients = rng.standard_normal((n_members, q, rank))
        targets = common + basis @ coefficients.transpose(0, 2, 1)
        scales = np.full(n_members, _NOISE)
        return _instance(targets, basis, common, coefficients, np.zeros_like(targets), scales, rng)


@dataclass(frozen=True, kw_only=True)
class Leveraged:
    """Ten to twenty-five members with coefficients up to four times apart, so that single ones carry the fit."""

    name: ClassVar[str] = "leveraged-members"

    heterogeneity: float = 0.0  # standard deviation of an entry of H_k off the subspace, over σ

    def generate(self, streams: Streams) -> Instance:
        """Everything from the stream "truth"."""
        rng = streams.generator("truth")
        rank, q = int(rng.integers(2, 5)), int(rng.integers(1, 9))
        off, n_members = int(rng.integers(20, 31)), int(rng.integers(10, 26))
        basis = orthonormal_basis(rng.standard_normal((off + rank, off + rank)), rank)
        common = project_off(basis, rng.standard_normal((off + rank, q)))
        sizes = 2.0 * 4.0 ** rng.uniform(-0.5, 0.5, n_members)
        coefficients = sizes[:, None, None] * rng.standard_normal((n_members, q, rank))
        scales = np.full(n_members, _NOISE)
        raw = rng.standard_normal((n_members, off + rank, q))
        differences = project_off(basis, self.heterogeneity * _NOISE * raw)
        targets = common + basis @ coefficients.transpose(0, 2, 1) + differences
        return _instance(targets, basis, common, coefficients, differences, scales, rng)


@dataclass(frozen=True, kw_only=True)
class Coloured:
    """Members with errors as of least squares: every client has a design of its own, of a population's covariance.

    Differences off the subspace have the population's error covariance times ``heterogeneity``².
    """

    name: ClassVar[str] = "coloured-members"

    heterogeneity: float = 0.0

    def generate(self, streams: Streams) -> Instance:
        """Everything from the stream "truth"."""
        rng = streams.generator("truth")
        rank, q = int(rng.integers(1, 4)), int(rng.integers(1, 5))
        p, n_members = rank + int(rng.integers(12, 21)), int(rng.integers(12, 26))
        sizes, turn = np.geomspace(1.0, 9.0, p), orthonormal_basis(rng.standard_normal((p, p)), p)
        loading = _NOISE * turn * np.sqrt(sizes)  # the population's error covariance is loading @ loading.T
        designs = rng.standard_normal((n_members, 5 * p, p)) @ np.linalg.inv(loading).T
        rows = np.asarray(np.linalg.inv(designs.transpose(0, 2, 1) @ designs / (5 * p)), dtype=np.float64)
        columns = np.broadcast_to(0.5 * np.eye(q) + 0.5, (n_members, q, q))
        halves = np.linalg.cholesky(rows), np.linalg.cholesky(columns)
        shape = (n_members, p, q)
        errors = halves[0] @ rng.standard_normal(shape) @ halves[1].transpose(0, 2, 1)
        away = self.heterogeneity * loading @ rng.standard_normal(shape) @ halves[1].transpose(0, 2, 1)
        common = rng.standard_normal((p, q))
        basis = orthonormal_basis(loading @ rng.standard_normal((p, rank)), rank)
        coefficients = (
            10.0 * 4.0 ** rng.uniform(-0.5, 0.5, (n_members, 1, 1)) * rng.standard_normal((n_members, q, rank))
        )
        targets = common + basis @ coefficients.transpose(0, 2, 1) + away
        return Instance(
            targets=targets,
            basis=basis,
            common=common,
            coefficients=coefficients,
            heterogeneity=away,
            collaborative_set=np.ones(n_members, dtype=np.bool_),
            estimates=ClientEstimates(values=targets + errors, row_covariances=rows, column_covariances=columns),
        )
