"""What each piece of the detector is worth: the detector without it, on designs that served no development.

Designs, seed and replications were written down before the first run.  ``python -m simulations run detector_ablation``
and ``python -m simulations ablation`` print the table of ``docs/detector.md``.

The first run (seed 20261131) was of the detector before the program proposed, and no design had clients of unequal
scale.  The second has that group, the two sources of candidates and the majority's use among its pieces, and its own
seed.  After 20 of its replications the group of small contamination was added, from a trial on other seeds: the share
left over is for such clients, and no design had them.  After 40 the rule would have deleted the second and third
candidate (-1.7 points, standard error 1.2).  A trial on 600 runs of random settings put their worth at 1.8 (.6), so
random settings of a stream that nobody has used are the last group, for all pieces; three replications do there.

Decision rule of the second run: a piece that has no derivation and whose removal costs exact sets or raises false
alarms by less than two standard errors in every group is to be deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from simulations.design import Study, crossed
from simulations.measures.summaries import Proportion
from simulations.methods.ablated import PIECES, DetectorWithout
from simulations.regimes.adapter import AdapterRegime
from simulations.regimes.adapter_modules import AdapterModulesRegime
from simulations.regimes.gaussian import GaussianRegime
from simulations.studies.heldout_designs import drawn_settings

__all__ = ["GROUPS", "STUDY"]

_STREAM = 20_271_129


def _regime(
    shape: tuple[int, int, int, int], noise: float, kind: str = "random", share: float = 0.0, scale: float = 1.0
) -> GaussianRegime:
    n_clients, p, q, rank = shape
    return GaussianRegime(
        n_clients=n_clients,
        n_rows=p,
        n_columns=q,
        rank=rank,
        share=share,
        contamination=kind,
        contamination_scale=scale,
        noise_scale=noise,
        common_scale=0.3,
        noise_known=False,
    )


def _adapters(
    ranks: tuple[int, ...], kind: str = "random", share: float = 0.0, n_clients: int = 20, scale: float = 1.0
) -> AdapterRegime:
    return AdapterRegime(
        n_clients=n_clients,
        n_rows=40,
        n_columns=32,
        rank=2,
        share=share,
        contamination=kind,
        contamination_scale=scale,
        noise_scale=0.12,
        common_scale=0.15,
        noise_known=False,
        adapter_ranks=ranks,
    )


def _unequal(ranks: tuple[int, ...], spread: float, kind: str = "random", share: float = 0.0) -> AdapterModulesRegime:
    """One module of updates whose clients differ in rank, and by log standard deviation ``spread`` in scale."""
    return AdapterModulesRegime(
        n_clients=24,
        n_rows=44,
        n_columns=28,
        rank=2,
        share=share,
        contamination=kind,
        noise_scale=0.12,
        common_scale=0.15,
        noise_known=False,
        adapter_ranks=ranks,
        n_modules=1,
        client_scale_spread=spread,
    )


def _excessive(shape: tuple[int, int, int, int], share: float, factor: float) -> GaussianRegime:
    """σ_k is given, and benign clients differ by ``factor`` noise norms more."""
    n_clients, p, q, rank = shape
    return GaussianRegime(
        n_clients=n_clients,
        n_rows=p,
        n_columns=q,
        rank=rank,
        share=share,
        contamination="random",
        noise_scale=0.2,
        common_scale=0.3,
        heterogeneity_scale=0.2 * factor,
        noise_known=True,
    )


GROUPS: Mapping[str, tuple[GaussianRegime, ...]] = MappingProxyType(
    {
        "clean": (
            _regime((9, 11, 2, 1), 0.25),
            _regime((13, 18, 1, 2), 0.15),
            _regime((16, 13, 2, 2), 0.35),
            _regime((18, 24, 5, 3), 0.35),
            _regime((34, 14, 1, 1), 0.25),
        ),
        "few columns": (
            _regime((17, 13, 3, 1), 0.15, "random", 0.3),
            _regime((22, 18, 2, 2), 0.15, "coordinated", 0.25),
            _regime((27, 14, 1, 1), 0.1, "identical", 0.3),
            _regime((19, 22, 6, 2), 0.2, "mimic", 0.35),
            _regime((29, 16, 4, 2), 0.25, "random", 0.4),
            _regime((14, 20, 5, 1), 0.2, "identical", 0.2),
        ),
        "many columns": (
            _regime((45, 32, 16, 3), 0.35, "random", 0.4),
            _regime((45, 32, 16, 3), 0.45, "coordinated", 0.45),
            _regime((45, 32, 16, 3), 0.45, "identical", 0.45),
            _regime((45, 32, 16, 3), 0.45, "mimic", 0.3, 0.7),
            _regime((45, 32, 16, 3), 0.2, "sign_flip", 0.4),
            _regime((21, 32, 16, 4), 0.3, "coordinated", 0.4),
        ),
        "adapters": (
            _adapters((6,)),
            _adapters((6,), "random", 0.3),
            _adapters((6,), "identical", 0.4),
            _adapters((4,), "sign_flip", 0.4),
            _adapters((3, 6, 12), "coordinated", 0.3),
            _adapters((6,), "random", 0.3, n_clients=12),
        ),
        "unequal adapters": (
            _unequal((6,), 0.8),
            _unequal((6,), 0.8, "random", 0.3),
            _unequal((6,), 0.8, "mimic", 0.3),
            _unequal((3, 6, 12), 0.0),
            _unequal((3, 6, 12), 0.0, "random", 0.35),
            _unequal((3, 6, 12), 0.8, "coordinated", 0.3),
        ),
        "small contamination": (
            _adapters((6,), "coordinated", 0.3, scale=0.28),
            _adapters((6,), "identical", 0.3, scale=0.26),
            _adapters((6,), "random", 0.3, scale=0.32),
            _adapters((5,), "identical", 0.4, n_clients=30, scale=0.26),
        ),
        "noise given too small": (
            _excessive((21, 17, 6, 2), 0.0, 0.5),
            _excessive((21, 17, 6, 2), 0.25, 0.5),
            _excessive((40, 26, 10, 2), 0.25, 0.75),
        ),
        "random settings": drawn_settings(_STREAM),
    }
)

STUDY = Study(
    name="detector_ablation",
    title="The detector without one of its pieces",
    cells=tuple(
        cell
        for regimes in GROUPS.values()
        for regime in regimes
        for cell in crossed(regime, tuple(DetectorWithout(piece) for piece in PIECES))
    ),
    replications=40,
    root_seed=20_271_128,
    aims="Which pieces of the detector move the share of exact sets or of false alarms by more than Monte Carlo error?",
    estimands="P(exact set), the probability of any false alarm and of a verdict.",
    measures=(Proportion("exact_set"), Proportion("false_alarm"), Proportion("majority")),
)
