"""Breakdown under the adaptive attack: share × norm, for CLAIR and every robust baseline.

Settings were fixed before the run.  Each method meets the attack made for it, and beside it the plain coordinated
contamination of the same share and root mean square norm.  Local fits are not among the methods: nothing can reach
them, and they are the unit in which harm is measured.
"""

from __future__ import annotations

from simulations.design import Cell, Method, Study
from simulations.measures.summaries import Mean, Proportion, Ratio
from simulations.methods.clients_and_oracles import Clair, OracleClair
from simulations.methods.combined import CombinedClair
from simulations.methods.error_laws import NoDetection
from simulations.methods.robust_aggregators import all_baselines
from simulations.presentation import Breakdown
from simulations.regimes.adaptive_attack import AdaptiveAttackRegime
from simulations.regimes.gaussian import GaussianRegime

__all__ = ["HARM", "METHODS", "NORMS", "SHARES", "STUDY", "study"]

SHARES = (0.15, 0.3, 0.45)
NORMS = (0.125, 0.25, 0.5, 1.0, 2.0)
METHODS: tuple[Method, ...] = (
    Clair(),
    CombinedClair(),
    OracleClair(),
    NoDetection(),
    *(baseline for baseline in all_baselines() if baseline.method != "local_only"),
)
HARM = Ratio(("refined_mse",), ("local_mse",), "MSE over that of local fits")


def study(effort: str = "standard") -> Study:
    """The study; "quick" has the same cells with 3 instead of 16 replications."""
    fields = {"n_clients": 20, "n_rows": 10, "n_columns": 4, "rank": 2, "common_scale": 0.3, "noise_scale": 0.1}
    budget = {"n_candidates": 20, "n_refinements": 20}
    cells = []
    for share in SHARES:
        for norm in NORMS:
            own = {"share": share, "contamination_scale": norm, **fields}
            plain = GaussianRegime(contamination="coordinated", **own)  # type: ignore[arg-type]
            for method in METHODS:
                cells.append(Cell(AdaptiveAttackRegime(defender=method, **own, **budget), method))  # type: ignore[arg-type]
                cells.append(Cell(plain, method))
    return Study(
        name="adaptive_attack" if effort == "standard" else f"adaptive_attack--{effort}",
        title="Breakdown under an adaptive attack: share and norm",
        cells=tuple(cells),
        replications={"quick": 3, "standard": 16}[effort],
        root_seed=20260716,
        aims="How much harm does an attacker do who knows the method, the truth and the noise, at each share and norm?",
        estimands="Mean squared error of what benign clients are handed, relative to their local estimates.",
        measures=(HARM, Mean("refined_mse"), Mean("local_mse"), Proportion("exact_set"), Mean("recall")),
        notes=(
            "Oracle CLAIR knows the collaborative set: no attack can harm it, and it shows what is left to lose. The "
            "baselines are told the true rank, the true number of attackers and the noise scale. The attack has a "
            "finite budget; what it does not find is not thereby impossible."
        ),
        presentation=Breakdown(measure=HARM.label, attacked=AdaptiveAttackRegime.name),
    )


STUDY = study()
