"""The detection test keeps its family-wise level."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.clair import CLAIR
from clair_stats.detection.detect import detect
from simulations.design import crossed, grid, levels
from simulations.regimes.gaussian import GaussianRegime
from simulations.regimes.instance import Instance
from theory_checks.claim import Claim, Sabotage
from theory_checks.rules.decision import FrequencyRule

__all__ = ["CLAIMS"]


@dataclass(frozen=True, kw_only=True)
class LevelAtTruth:
    """Test every client at the true subspace and common component with (almost) its true noise scale."""

    name: ClassVar[str] = "oracle-detection"

    scale_factor: float = 1.0  # the noise scales handed to the test are the true ones times this

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """``false_alarm``: some benign client is flagged."""
        found = detect(
            instance.estimates,
            basis=instance.basis,
            common=instance.common,
            noise_scales=self.scale_factor * np.asarray(instance.extras["noise_scales"]),
            level=0.05,
        )
        return {"false_alarm": float(np.any(~found.collaborative_set[instance.collaborative_set]))}


@dataclass(frozen=True, kw_only=True)
class LevelAfterFit:
    """CLAIR estimates subspace, common component and set, then tests: the level after fitting."""

    name: ClassVar[str] = "fitted-detection"

    scale_factor: float = 1.0

    def evaluate(self, instance: Instance, generator: np.random.Generator) -> Mapping[str, float]:
        """``false_alarm``: some benign client is flagged."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            found = CLAIR(instance.rank, level=0.05).fit(
                instance.estimates.dense(),
                noise_scales=self.scale_factor * np.asarray(instance.extras["noise_scales"]),
            )
        return {"false_alarm": float(np.any(found.flagged_[instance.collaborative_set]))}


_REGIMES = grid(
    GaussianRegime,
    n_clients=20,
    n_rows=8,
    n_columns=3,
    rank=2,
    share=0.0,
    common_scale=1.0,
    noise_scale=0.1,
    noise_spread=levels(1.0, 10.0),
)

_FITTED_REGIMES = grid(
    GaussianRegime,
    n_clients=20,
    n_rows=8,
    n_columns=3,
    rank=2,
    share=0.25,
    common_scale=1.0,
    noise_scale=0.1,
    noise_spread=levels(1.0, 4.0),
)

_ORACLE = Claim(
    identifier="detection-level",
    theorem=4,
    title="The detection test keeps its level at the oracle",
    statement=(
        r"With $E_k$ i.i.d. $N(0,\sigma_k^2)$ and $H_k=0$, the test based on "
        r"$\rho_k^2/\sigma_k^2\sim\chi^2_{(p-r)q}$ flags some benign client with probability at most $0.05$."
    ),
    source="theory.md section 5, Calibration",
    assumptions=(),
    statistic="share of replications with any false alarm",
    rule=FrequencyRule("false_alarm", target=0.05, direction="at_most", margin=0.03),
    cells=crossed(_REGIMES, LevelAtTruth()),
    replications={"quick": 800, "standard": 5000, "full": 50_000},
    sabotage=Sabotage(
        name="noise-scale-understated",
        description="the noise scales handed to the test are 15 % too small",
        cells=crossed(_REGIMES, LevelAtTruth(scale_factor=0.85)),
    ),
    fine=Sabotage(
        name="noise-scale-a-little-understated",
        description="the noise scales handed to the test are 3 % too small",
        cells=crossed(_REGIMES, LevelAtTruth(scale_factor=0.97)),
    ),
)

_FITTED = Claim(
    identifier="detection-level-fitted",
    theorem=4,
    title="The detection test keeps its level after fitting",
    statement=(
        r"With the subspace, the common component and the collaborative set estimated from the same data, and a "
        r"quarter of the clients contaminated, some benign client is flagged with probability at most $0.05$."
    ),
    source="theory.md section 5, Calibration",
    assumptions=(),
    statistic="share of replications with any false alarm",
    rule=FrequencyRule("false_alarm", target=0.05, direction="at_most", margin=0.05),
    cells=crossed(_FITTED_REGIMES, LevelAfterFit()),
    replications={"quick": 240, "standard": 600, "full": 6000},
    sabotage=Sabotage(
        name="noise-scale-understated",
        description="the noise scales handed to CLAIR are 15 % too small",
        cells=crossed(_FITTED_REGIMES, LevelAfterFit(scale_factor=0.85)),
    ),
    fine=Sabotage(
        name="noise-scale-a-little-understated",
        description="the noise scales handed to CLAIR are 5 % too small",
        cells=crossed(_FITTED_REGIMES, LevelAfterFit(scale_factor=0.95)),
    ),
)

CLAIMS = (_ORACLE, _FITTED)
