"""``adapter_config.json``: what scales an adapter, and which kinds of adapter are refused because no average of them
means anything.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import re2

from clair_stats.adapters.refusal import AdapterRefused, size_of_regular_file

__all__ = ["AdapterConfig", "checked_config", "read_config"]

FILE = "adapter_config.json"
# A configuration with a pattern for each of 1,000 modules has 0.2 MB.
LARGEST_FILE = 1 << 22
MOST_PATTERNS = 5000
LONGEST_PATTERN = 1000
# Initialisations that also change the base model: the same product on the unchanged base is another model.
_BASE_CHANGING = ("pissa", "olora", "corda", "loftq", "lora_ga")
_REFUSED = {
    "use_dora": "DoRA scales the base weights by norms that cannot be averaged; train with use_dora=False",
    "lora_bias": "lora_bias adds a bias inside the product; train with lora_bias=False",
    "layer_replication": "layer_replication changes the base model; train on the plain base",
    "target_parameters": "target_parameters adapts stacked experts; target the linear modules instead",
    "trainable_token_indices": "trainable tokens are no low-rank update; train without trainable_token_indices",
    "alora_invocation_tokens": "aLoRA acts from a token on; train a plain LoRA",
    "use_qalora": "QA-LoRA pools its input; train a plain LoRA",
    "use_bdlora": "BD-LoRA has block-diagonal factors; train a plain LoRA",
    "kasa_config": "KaSA changes the base weights; train a plain LoRA",
    "monteclora_config": "MonteCLoRA is a random adapter; train a plain LoRA",
}


@dataclass(frozen=True, eq=False)
class AdapterConfig:
    """What of a configuration enters the products ΔW = c·BA."""

    fields: Mapping[str, Any]  # the whole file
    base_model: str
    rank: int
    alpha: float
    rank_stabilised: bool  # c = α/√s in place of α/s
    rank_patterns: tuple[tuple[Any, int], ...]  # compiled pattern, rank
    alpha_patterns: tuple[tuple[Any, float], ...]

    def rank_of(self, module: str) -> int:
        """The rank that the configuration gives a module.

        Parameters
        ----------
        module : str
            Name of the module.

        Returns
        -------
        int
        """
        return next((rank for pattern, rank in self.rank_patterns if pattern.fullmatch(module)), self.rank)

    def scale_of(self, module: str, rank: int) -> float:
        """c = α/s, or α/√s where the adapter is rank-stabilised.

        Parameters
        ----------
        module : str
            Name of the module.
        rank : int
            s.

        Returns
        -------
        float
        """
        alpha = next((alpha for pattern, alpha in self.alpha_patterns if pattern.fullmatch(module)), self.alpha)
        return alpha / math.sqrt(rank) if self.rank_stabilised else alpha / rank


def read_config(folder: Path) -> AdapterConfig:
    """Read and check the configuration in a folder.

    Parameters
    ----------
    folder : path

    Returns
    -------
    AdapterConfig

    Raises
    ------
    AdapterRefused
        No such file, no JSON object, another kind of adapter than plain LoRA, or a field out of range.
    """
    path = folder / FILE
    size = size_of_regular_file(path, "give a folder written by PEFT's save_pretrained")
    if size > LARGEST_FILE:
        raise AdapterRefused(f"{FILE} has {size} bytes; a configuration is small, save the adapter again")
    try:
        fields = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise AdapterRefused(
            f"{FILE} is no JSON ({' '.join(str(error).split())[:120]}); save the adapter again"
        ) from error
    return checked_config(fields)


def checked_config(fields: object) -> AdapterConfig:
    """A configuration from its fields.

    Parameters
    ----------
    fields : mapping
        What ``adapter_config.json`` holds.

    Returns
    -------
    AdapterConfig

    Raises
    ------
    AdapterRefused
        Another kind of adapter than plain LoRA, or a field out of range.
    """
    if not isinstance(fields, dict):
        raise AdapterRefused(f"{FILE} holds {type(fields).__name__}, no object; save the adapter again")
    _refuse_other_kinds(fields)
    base = fields.get("base_model_name_or_path") or ""
    return AdapterConfig(
        fields=fields,
        base_model=Path(str(base)).name,
        rank=_rank(fields.get("r"), "r"),
        alpha=_alpha(fields.get("lora_alpha"), "lora_alpha"),
        rank_stabilised=bool(fields.get("use_rslora")),
        rank_patterns=_patterns(fields, "rank_pattern", _rank),
        alpha_patterns=_patterns(fields, "alpha_pattern", _alpha),
    )


def _refuse_other_kinds(fields: Mapping[str, Any]) -> None:
    kind = fields.get("peft_type")
    if kind != "LORA":
        raise AdapterRefused(f"peft_type is {kind!r}; only LORA adapters have products that can be averaged, train one")
    initial = fields.get("init_lora_weights")
    if isinstance(initial, str) and initial.lower().startswith(_BASE_CHANGING):
        raise AdapterRefused(
            f"init_lora_weights={initial!r} changes the base model; convert the adapter to plain LoRA first "
            "(PEFT: save_pretrained with path_initial_model_for_weight_conversion)"
        )
    for field, why in _REFUSED.items():
        if fields.get(field):
            raise AdapterRefused(why)


def _rank(value: object, field: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1 << 20:
        raise AdapterRefused(f"{FILE}: {field} is {str(value)[:40]}; it must be a positive integer")
    return value


def _alpha(value: object, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e30 or not math.isfinite(value):
        raise AdapterRefused(f"{FILE}: {field} is {str(value)[:40]}; it must be a finite number")
    return float(value)


def _patterns(fields: Mapping[str, Any], field: str, check: Any) -> tuple[tuple[Any, Any], ...]:  # noqa: ANN401
    """Patterns compiled by RE2, whose time is linear in the text; no client can block the server with one."""
    given = fields.get(field) or {}
    if not isinstance(given, dict) or len(given) > MOST_PATTERNS or any(len(key) > LONGEST_PATTERN for key in given):
        raise AdapterRefused(
            f"{FILE}: {field} is no mapping of at most {MOST_PATTERNS} short patterns; save the adapter again"
        )
    options = re2.Options()
    options.log_errors = False
    compiled = []
    for key, value in given.items():
        try:
            pattern = re2.compile(rf"(.*\.)?({key})", options=options)
        except re2.error as error:
            raise AdapterRefused(
                f"{FILE}: {field} has the pattern {key[:60]!r}, which RE2 refuses; give the module's name"
            ) from error
        compiled.append((pattern, check(value, f"{field}[{key[:40]}]")))
    return tuple(compiled)
