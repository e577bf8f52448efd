"""Diagnostics of trained adapters: spectra, off-subspace shares and Theorem 5's sign rule, from estimated quantities.

Noise and heterogeneity look alike in one set of updates.  Two trainings on independent data of the same clients tell
them apart: half the squared difference is noise, and the product of the two deviations from the mean is heterogeneity,
each without bias.  In the field the two data sets are halves of a client's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clair_stats.decomposition.penalties import penalty_at_rank
from clair_stats.linalg import project_off, stack
from clair_stats.records import BoolArray, FloatArray
from clair_stats.theory.certificate import Certificate, instance_certificate
from clair_stats.theory.leverage import leverage
from simulations.copying.lora import Updates

__all__ = ["GainRule", "gain_rule", "leverages", "off_subspace_share", "plug_in_certificates", "spectra"]


@dataclass(frozen=True, eq=False)
class GainRule:
    """Theorem 5 per collaborating client and module, squared Frobenius scale; arrays (|C|, number of modules)."""

    noise: FloatArray  # ‖P_{U⊥}E_k‖²
    heterogeneity: FloatArray  # ‖P_{U⊥}(Θ̄*_C − Θ*_k)‖²
    predicted: FloatArray  # noise·(1 − 1/|C|) − heterogeneity
    realised: FloatArray  # ‖X_k − Θ*_k‖² − ‖Θ̃_k − Θ*_k‖², against the reference updates


def spectra(updates: Updates, members: BoolArray) -> dict[str, FloatArray]:
    """Singular values of the members' stacked deviations from their mean, per module.

    Parameters
    ----------
    updates : mapping of str to ndarray, shape (K, out, in)
        ΔW_k by module.
    members : bool ndarray, shape (K,)

    Returns
    -------
    dict of str to ndarray, shape (min(out, K·in),)
        Largest first.
    """
    return {
        name: np.asarray(np.linalg.svd(stack(x[members] - x[members].mean(axis=0)), compute_uv=False), dtype=np.float64)
        for name, x in updates.items()
    }


def off_subspace_share(updates: Updates, bases: dict[str, FloatArray], members: BoolArray) -> dict[str, float]:
    """Share of the deviations' squared norm that lies off the subspace, per module, in [0, 1].

    Parameters
    ----------
    updates : mapping of str to ndarray, shape (K, out, in)
        ΔW_k by module.
    bases : dict of str to ndarray, shape (out, r)
        Orthonormal.
    members : bool ndarray, shape (K,)
    """
    shares = {}
    for name, x in updates.items():
        deviations = x[members] - x[members].mean(axis=0)
        total = float(np.sum(deviations**2))
        shares[name] = float(np.sum(project_off(bases[name], deviations) ** 2)) / total if total > 0 else 0.0
    return shares


def leverages(updates: Updates, bases: dict[str, FloatArray], members: BoolArray) -> dict[str, float]:
    """ν_c per module (theory.md section 3), with the coefficients A_k = X_kᵀU estimated; modules of rank 0 left out.

    Parameters
    ----------
    updates : mapping of str to ndarray, shape (K, out, in)
        ΔW_k by module.
    bases : dict of str to ndarray, shape (out, r)
        Orthonormal.
    members : bool ndarray, shape (K,)
    """
    return {
        name: leverage(np.swapaxes(x[members], 1, 2) @ bases[name], common_component=True)
        for name, x in updates.items()
        if bases[name].shape[1]
    }


def plug_in_certificates(updates: Updates, bases: dict[str, FloatArray], members: BoolArray) -> dict[str, Certificate]:
    """The instance certificate per module (theory.md section 3), with estimates in place of U*, M* and C.

    The certificate speaks of noiseless blocks: members are put into M̂ + span(Û), M̂ their mean, the others stay as they
    are.  λ = 1.8√(r/K).  It tells whether program (E) would recover this geometry if nothing else were in the updates.

    Parameters
    ----------
    updates : mapping name -> array (K, out, in)
    bases : mapping name -> array (out, r)
        Orthonormal, r ≥ 1.
    members : array (K,) of bool
        The collaborative set.
    """
    found = {}
    for name, x in updates.items():
        basis = bases[name]
        mean = x[members].mean(axis=0)
        off = project_off(basis, x - mean)
        blocks = np.where(members[:, None, None], x - off, x)
        penalty = penalty_at_rank(basis.shape[1], members.size)
        found[name] = instance_certificate(
            blocks, basis=basis, collaborative_set=members, block_penalty=penalty, common_component=True
        )
    return found


def gain_rule(
    first: Updates,
    second: Updates,
    refined: Updates,
    reference: Updates,
    bases: dict[str, FloatArray],
    members: BoolArray,
) -> GainRule:
    """Predicted and realised gain of refinement.

    Parameters
    ----------
    first, second : mapping name -> array (K, out, in)
        Two trainings of the same clients on independent data of the same size; ``first`` was refined.
    refined : mapping
        Θ̃_k, from ``first``.
    reference : mapping
        Stands for Θ*_k: trained on plenty of data.
    bases : mapping name -> array (p, r)
    members : array (K,) of bool
        The collaborative set.
    """
    columns: dict[str, list[FloatArray]] = {"noise": [], "heterogeneity": [], "predicted": [], "realised": []}
    count = int(members.sum())
    for name, basis in bases.items():
        a, b = first[name][members], second[name][members]
        noise = 0.5 * np.sum(project_off(basis, a - b) ** 2, axis=(1, 2))
        deviation_a = project_off(basis, a - a.mean(axis=0))
        deviation_b = project_off(basis, b - b.mean(axis=0))
        heterogeneity = np.sum(deviation_a * deviation_b, axis=(1, 2))
        truth = reference[name][members]
        before = np.sum((a - truth) ** 2, axis=(1, 2))
        after = np.sum((refined[name][members] - truth) ** 2, axis=(1, 2))
        columns["noise"].append(noise)
        columns["heterogeneity"].append(heterogeneity)
        columns["predicted"].append(noise * (1 - 1 / count) - heterogeneity)
        columns["realised"].append(before - after)
    return GainRule(**{key: np.stack(value, axis=1) for key, value in columns.items()})
