"""The one label map: what methods, measures and fields are called in tables, in figures and beside axes."""

from __future__ import annotations

import re
from numbers import Real

__all__ = ["WORDS", "count_of", "measure_words", "spelt", "worded"]

# What is not its own words with spaces.  A word alone ("average") means different things to different methods, so only
# names of published methods stand here without an underscore.
WORDS = {
    # aggregation rules and methods
    "armul_low_rank": "ARMUL",
    "clair_halves": "CLAIR, two half trainings",
    "clair_members": "FLoRA among CLAIR's members",
    "coordinate_median": "entrywise median",
    "factor_average": "average of factors",
    "fedex": "FedEx-LoRA",
    "fedit": "FedIT",
    "fedrot": "FedRot-LoRA",
    "fedrpca": "FedRPCA",
    "fedsa_lora": "FedSA-LoRA",
    "ffa_lora": "FFA-LoRA",
    "flexlora": "FlexLoRA",
    "flora": "FLoRA",
    "krum": "Krum",
    "local_only": "local",
    "median_svd": "SVD after median centring",
    "multi_krum": "multi-Krum",
    "oracle_clair": "oracle CLAIR",
    "rolora": "RoLoRA",
    "subgraph_benign": "benign sub-graph",
    "subgraph_poisoned": "poisoned sub-graph",
    "subspace_tyler": "subspace-constrained Tyler",
    "winsorised_spectral": "winsorised spectral method",
    # measures
    "fgsm": "FGSM",
    "local_mse": "MSE of local fits",
    "pgd": "PGD",
    "refined_mse": "refined MSE",
    "own_refined_mse": "MSE of local fits",
    "average_refined_mse": "MSE of averaging",
    "sin_theta": "sin Θ",
    # fields
    "lora_rank": "LoRA rank",
    "n_active": "active features",
    "n_missing": "missing features",
    "n_test": "test observations",
    "n_validation": "validation observations",
    "one_bit": "one-bit",
}
# Fields without the prefix n_ that count what they name.
_COUNTED = frozenset(("rounds", "steps"))
# Code between backquotes, and formulas: names stay there.
_APART = re.compile(r"(``.+?``|`[^`]*`|\$[^$]+\$)", re.DOTALL)
# Two letters at the least at either side, or the n of a number: subscripts such as d_k and n_min stay.  No part of a
# path, of a dotted name or of a call.
_IDENTIFIER = re.compile(r"(?<![\w./])(?:n_(?!min\b|max\b)|[A-Za-z]{2,}\d*_)[a-z]{2}\w*(?![\w/(]|\.\w)")
_NAME = re.compile(r"[A-Za-z]\w*")


def worded(name: str) -> str:
    """One name in words: by the map, else with spaces; a number's name is what it counts."""
    return WORDS.get(name, name.removeprefix("n_").replace("_", " "))


def spelt(text: str) -> str:
    """Text with every name that has an underscore in words; code between backquotes and formulas stay."""
    parts = _APART.split(text)
    parts[::2] = [_IDENTIFIER.sub(lambda found: worded(found[0]), part) for part in parts[::2]]
    return "".join(parts)


def measure_words(measure: str) -> str:
    """A performance measure in words: "P(exact_set)" is "P(exact set)", "mean refined_mse" is "mean refined MSE"."""
    return _NAME.sub(lambda found: worded(found[0]), measure)


def count_of(field: str, value: object) -> str | None:
    """A number with what it counts, "20 clients" and "1 round"; None where the field counts nothing.

    Parameters
    ----------
    field : str
        Name of the field.
    value : object
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not (field.startswith("n_") or field in _COUNTED):
        return None
    words = worded(field)
    return f"{float(value):g} {words.removesuffix('s') if value == 1 else words}"
