"""Where refinement gains in one round, and whether the sign rule predicted it."""

from __future__ import annotations

import pandas as pd

from reports.tables import Table, plain_table

__all__ = ["map_table"]

_FACTORS = {"regime.n_sequences": "n", "regime.spread": "spread", "regime.contaminated_share": "share"}
_SHOWN = {
    "local_accuracy": "local",
    "average_accuracy": "average",
    "clair_accuracy": "CLAIR",
    "exact_set": "exact set",
    "predicted_gain": "gain predicted",
    "realised_gain": "gain realised",
    "more_accurate": "more accurate",
    "sign_agreement": "signs agree",
    "module_sign_agreement": "by module",
    "off_subspace_share": "off subspace",
    "leverage": "leverage",
}


def map_table(rows: pd.DataFrame) -> Table:
    """Means over federations, one line per sample size, spread and share."""
    lines = [
        (*(f"{level:g}" for level in key), *(f"{group[name].mean():.2f}" for name in _SHOWN))
        for key, group in rows.groupby(list(_FACTORS))
    ]
    return plain_table("copying-map", (*_FACTORS.values(), *_SHOWN.values()), lines)
