"""What ``certify`` prints: the convex solution recomputed, and how far the recovery theorems reach on this input."""

from __future__ import annotations

from rich.console import Console

from clair_stats.clair import CLAIR
from clair_stats.cli.clients import turned
from clair_stats.decomposition.verify import verify_solution
from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import project_on
from clair_stats.records import Decomposition, FloatArray
from clair_stats.theory import instance_certificate, recovery_condition, rigorous_certificate, rigorous_gap

__all__ = ["print_certificates"]


def print_certificates(estimates: ClientEstimates, model: CLAIR, console: Console, *, rigorous: bool = False) -> bool:
    """Print; True when exact recovery is certified (with ``rigorous``: proved) on the fitted instance."""
    blocks = turned(model, estimates.dense())
    solution = model.decomposition_
    check = verify_solution(blocks, solution)
    console.print(
        f"convex program ({solution.program}), λ = {solution.block_penalty:.4g}, τ = {solution.noise_penalty:.4g}: "
        f"{solution.status}; objective {solution.objective:.8g}, duality gap {check.duality_gap:.2g} recomputed from "
        f"scratch",
        soft_wrap=True,
    )
    if rigorous:
        _print_gap(blocks, solution, console)
    if not model.majority_:
        console.print("no collaborative majority: the recovery theorems have nothing to say about this input")
        return False
    members = model.collaborative_set_
    common = turned(model, model.common_)
    fitted = blocks.copy()
    inside = project_on(model.basis_, blocks[members] - common)
    fitted[members] = common + inside
    if model.rank_ == 0:
        console.print("rank 0: benign clients share everything; the recovery theorems need a subspace (r ≥ 1)")
        return False
    certificate = instance_certificate(
        fitted,
        basis=model.basis_,
        collaborative_set=members,
        block_penalty=solution.block_penalty,
        common_component=model.common_component,
    )
    coefficients = (model.basis_.T @ (blocks[members] - common)).swapaxes(1, 2)
    condition = recovery_condition(
        coefficients,
        n_contaminated=int((~members).sum()),
        block_penalty=solution.block_penalty,
        common_component=model.common_component,
    )
    word = "certified" if certificate.certified else "NOT certified"
    console.print(
        f"instance certificate: η = {certificate.eta:.4g}, κ = {certificate.kappa:.4g}: exact recovery {word} "
        "(both must be below 1)",
        soft_wrap=True,
    )
    console.print(
        f"theorem (worst case over contamination): bounds η ≤ {condition.eta_bound:.4g}, "
        f"κ ≤ {condition.kappa_bound:.4g}: {'holds' if condition.holds else 'does not hold'}",
        soft_wrap=True,
    )
    if not rigorous:
        return bool(certificate.certified)
    return _print_proof(fitted, model, console)


def _print_gap(blocks: FloatArray, solution: Decomposition, console: Console) -> None:
    """Print what ball arithmetic proves about the solution of the convex program."""
    try:
        found = rigorous_gap(blocks, solution)
    except ImportError as error:
        raise ValueError(str(error)) from error
    console.print(
        f"ball arithmetic: the program's smallest value lies in [{found.dual_objective:.12g}, {found.objective:.12g}], "
        f"relative gap at most {found.relative_gap:.2g}",
        soft_wrap=True,
    )


def _print_proof(fitted: FloatArray, model: CLAIR, console: Console) -> bool:
    """Print what ball arithmetic says about the fitted instance; True when recovery is proved."""
    try:
        proof = rigorous_certificate(
            fitted,
            basis=model.basis_,
            collaborative_set=model.collaborative_set_,
            block_penalty=model.decomposition_.block_penalty,
            common_component=model.common_component,
        )
    except ImportError as error:
        raise ValueError(str(error)) from error
    meaning = {
        "proved": "exact recovery is proved",
        "refuted": "exact recovery is refuted",
        "open": f"nothing is proved: {proof.reason}",
    }
    console.print(
        f"ball arithmetic: η in [{proof.eta[0]:.12g}, {proof.eta[1]:.12g}], κ in [{proof.kappa[0]:.12g}, "
        f"{proof.kappa[1]:.12g}]: {meaning[proof.state]}, about an instance within {proof.distance:.1g} of this one",
        soft_wrap=True,
    )
    return proof.state == "proved"
