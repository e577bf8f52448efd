"""One verdict from several modules: is the set found where one module is not enough, and is the level kept?

Low-rank updates of 48 rows. The four settings in which a prototype found the set in 2, 2, 7 and 8 of 10 runs from one
module and in 10 of 10 from four (one shared direction; two columns; mimicry at a share of .45; 12 clients), each with
one module and with four; four modules of mixed ranks, of mixed scales, and of both; clean federations. Building used
other seeds; seed, settings and replications were written down before the run. A first run (seed 20261128) found the
set in .85 of the runs with two columns, .9 to 1 elsewhere, and 3 false alarms in 120 clean runs; then exact
statistics were tried before clients' scales are compared, from a half found at their own ranks. A second run (seed
20261130) found it in .95 to 1 of the runs from four modules, in .85 with mixed ranks and scales at once, with 4 false
alarms in 120; then ranks were read off one half each and both scales looked at more often, for the sake of the
copying case, and the seed was changed again. A third run (seed 20261131) found it in .95 to 1, with 1 false alarm in
120; then groups were told by their gap and scales compared by a majority's spread, again for the copying case, and the
seed was changed a third time. Decision rule: "found" when the exact set comes out in at least .9 of the
runs with four modules; the level is kept when the 99 % binomial band of .05 holds the rate of false alarms pooled over
the clean settings, or it lies below.
"""

from __future__ import annotations

from typing import Any

from simulations.design import Study, crossed
from simulations.measures.summaries import Proportion
from simulations.methods.several_modules import ClairModules
from simulations.regimes.adapter_modules import AdapterModulesRegime

__all__ = ["STUDY"]


def _regime(**changes: Any) -> AdapterModulesRegime:  # noqa: ANN401
    settings: dict[str, Any] = {
        **{"n_clients": 24, "n_rows": 48, "n_columns": 40, "rank": 2, "share": 0.35, "noise_scale": 0.2},
        **{"common_scale": 0.1, "noise_known": False, "adapter_ranks": (4,), "n_modules": 4},
    }
    return AdapterModulesRegime(**{**settings, **changes})


_HARD: tuple[dict[str, Any], ...] = (
    {"rank": 1},
    {"n_columns": 2, "adapter_ranks": (2,)},
    {"contamination": "mimic", "contamination_scale": 0.7, "share": 0.45},
    {"n_clients": 12},
)
_UNEVEN: tuple[dict[str, Any], ...] = (
    {"adapter_ranks": (4, 8, 16)},
    {"client_scale_spread": 0.7},
    {"adapter_ranks": (4, 8, 16), "client_scale_spread": 0.7},
)
_CLEAN: tuple[dict[str, Any], ...] = (
    {"n_clients": 12, "noise_scale": 0.05},
    {"n_clients": 12, "rank": 0},
    {"adapter_ranks": (8,)},
    {"n_columns": 2, "adapter_ranks": (2,)},
    {"n_clients": 12, "client_scale_spread": 0.7},
    {"n_clients": 12, "n_columns": 8, "adapter_ranks": (8,)},  # errors white inside a client
)

STUDY = Study(
    name="modules",
    title="Several modules, one verdict: exact set and false alarms",
    cells=crossed(
        (
            *(_regime(n_modules=count, **setting) for setting in _HARD for count in (1, 4)),
            *(_regime(**setting) for setting in _UNEVEN),
            *(_regime(share=0.0, **setting) for setting in _CLEAN),
        ),
        (ClairModules(),),
    ),
    replications=20,
    root_seed=20_261_132,
    aims="Do several modules find contaminated clients that one does not, at the stated level?",
    estimands="P(exact set) and the probability of any false alarm.",
    measures=(Proportion("exact_set"), Proportion("false_alarm"), Proportion("majority")),
)
