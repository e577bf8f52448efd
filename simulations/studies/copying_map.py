"""Where one-shot CLAIR beats local fine-tuning and averaging on text copying, and whether Theorem 5's rule predicts it.

The corners of local sample size × heterogeneity of the token distributions × contaminated share, five replications
each: a map to read tendencies from, not a test.  Fixed before its first run; nothing here was tuned.
"""

from __future__ import annotations

from simulations.copying.regime import CopyingGain, CopyingRegime
from simulations.design import Study, crossed, grid, levels
from simulations.measures.summaries import Mean
from simulations.presentation import Copying

__all__ = ["STUDY"]

STUDY = Study(
    name="copying_map",
    title="One-shot CLAIR on text copying: sample size × heterogeneity × contaminated share",
    cells=crossed(
        grid(
            CopyingRegime,
            n_sequences=levels(4, 16),
            spread=levels(0.5, 1.5),
            contaminated_share=levels(0.1, 0.4),
            personal_tokens=4,
        ),
        CopyingGain(),
    ),
    replications=5,
    root_seed=20261102,
    aims="Where refinement gains over local fine-tuning and averaging, and whether the sign rule predicted it.",
    estimands="Own token accuracy of benign clients; share of clients with a predicted and with a realised gain.",
    measures=tuple(
        Mean(name)
        for name in (
            "local_accuracy",
            "average_accuracy",
            "clair_accuracy",
            "exact_set",
            "predicted_gain",
            "realised_gain",
            "more_accurate",
            "sign_agreement",
            "module_sign_agreement",
            "off_subspace_share",
            "leverage",
        )
    ),
    presentation=Copying("map"),
)
