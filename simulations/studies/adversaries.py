"""Attackers who know the detector, the noise and every honest estimate: who is found, and what the honest ones lose.

Settings, seed and replications were fixed before the run.  Nine plans (:mod:`simulations.regimes.adversaries`,
:mod:`simulations.regimes.module_adversaries`) at five shares, the last one above one half; the noise is not handed to
CLAIR, except where a plan hides below the threshold that it implies.  The mean of all clients stands beside CLAIR,
which is what clients were handed without it.  "Harm" is the mean squared error of what honest
clients are handed over that of their own estimates (1: alone), "false alarm" an honest client that is flagged.  Copies
of an honest client are contaminated by decree: to find them is not possible and not needed, what they cost the others
is.  The worst settings found are regression tests in ``tests/hardening/test_adversaries.py``.
"""

from __future__ import annotations

from typing import Any

from simulations.design import Cell, Study
from simulations.measures.summaries import Mean, Proportion, Ratio
from simulations.methods.clients_and_oracles import FederatedAverage, OracleClair
from simulations.methods.several_modules import ClairModulesRefined
from simulations.methods.verdicts import ClairVerdict
from simulations.regimes.adversaries import PLANS, AdversaryRegime
from simulations.regimes.module_adversaries import MODULE_PLANS, ModuleAdversaryRegime

__all__ = ["HARM", "SHARES", "STUDY"]

SHARES = (0.1, 0.2, 0.3, 0.45, 0.55)
HARM = Ratio(("refined_mse",), ("local_mse",), "MSE over that of local fits")
_ONE: dict[str, Any] = {"n_clients": 20, "n_rows": 12, "n_columns": 6, "rank": 2, "noise_scale": 0.1}
_MANY: dict[str, Any] = {
    **{"n_clients": 20, "n_rows": 32, "n_columns": 24, "rank": 2, "noise_scale": 0.2, "common_scale": 0.1},
    **{"noise_known": False, "adapter_ranks": (4,), "n_modules": 4},
}


def _cells() -> list[Cell]:
    cells = []
    for share in SHARES:
        for plan in PLANS:
            regime = AdversaryRegime(share=share, plan=plan, noise_known=plan == "tolerance", **_ONE)
            cells += [Cell(regime, method) for method in (ClairVerdict(), OracleClair(), FederatedAverage())]
        for module_plan in MODULE_PLANS:
            cells.append(Cell(ModuleAdversaryRegime(share=share, plan=module_plan, **_MANY), ClairModulesRefined()))
    return cells


STUDY = Study(
    name="adversaries",
    title="Attackers who know everything and speak last: share and plan",
    cells=tuple(_cells()),
    replications=20,
    root_seed=20_261_147,
    aims="Which plan, at which share, escapes the detector, hurts honest clients or has them flagged?",
    estimands="P(exact set), P(majority), recall, P(an honest client is flagged), harm to honest clients.",
    measures=(
        HARM,
        Ratio(("average_mse",), ("local_mse",), "MSE of the mean over that of local fits"),
        Proportion("exact_set"),
        Mean("recall"),
        Proportion("false_alarm"),
        Proportion("majority"),
    ),
    notes=(
        "Oracle CLAIR knows the set. Above one half the attackers are the majority: CLAIR then calls them benign, as "
        "it must, and flags the honest clients."
    ),
)
