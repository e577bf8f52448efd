"""PEFT folders out: written beside, read back, and moved into place when all of them are whole."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clair_stats.adapters.client import ClientAdapter
from clair_stats.adapters.config import FILE
from clair_stats.adapters.folder import WEIGHTS
from clair_stats.adapters.keys import PREFIX
from clair_stats.adapters.tensors import write_tensors
from clair_stats.records import FloatArray

__all__ = ["as_peft", "check_output_folder", "new_folder", "write_adapter"]

Pair = tuple[FloatArray, FloatArray]
# Settings of a client's training that an averaged adapter does not have.
_DROPPED = ("rank_pattern", "alpha_pattern", "use_rslora", "init_lora_weights", "loftq_config", "eva_config")


def check_output_folder(output: Path, inputs: Sequence[Path]) -> None:
    """Refuse, before any work, an output that exists with content, cannot be made, or lies in an input.

    Parameters
    ----------
    output : Path
    inputs : sequence of Path

    Raises
    ------
    ValueError
        Naming the remedy.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"{output}: exists and is not empty; give a new folder, nothing is overwritten")
    parent = output.resolve().parent
    if not parent.is_dir():
        raise ValueError(f"{output}: folder {parent} does not exist; create it first")
    for given in inputs:
        if given.resolve() in (output.resolve(), *output.resolve().parents) and given.is_dir():
            raise ValueError(f"{output}: lies in the input {given}; give a folder elsewhere")
    try:
        with tempfile.TemporaryDirectory(dir=parent, prefix=".clair-"):
            pass
    except OSError as error:
        raise ValueError(f"{output}: folder {parent} is not writable ({error.strerror}); choose another") from error


@contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """A folder beside ``output`` to write to, renamed into place at the end, removed when anything goes wrong.

    Parameters
    ----------
    output : Path

    Yields
    ------
    Path
    """
    beside = Path(tempfile.mkdtemp(dir=output.resolve().parent, prefix=f".{output.name}-"))
    try:
        yield beside
        umask = os.umask(0)
        os.umask(umask)
        beside.chmod(0o777 & ~umask)
        if output.is_dir():
            output.rmdir()  # empty, as was checked
        os.replace(beside, output)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def write_adapter(
    folder: Path, like: ClientAdapter, products: Mapping[str, Pair], dense: Mapping[str, FloatArray]
) -> None:
    """Write one adapter that PEFT reloads as it is meant, whatever the ranks of its modules.

    Parameters
    ----------
    folder : path
        Created.
    like : ClientAdapter
        Whose configuration is kept but for ranks and scales, and whose copies of base weights are copied.
    products : mapping module → (p × s, s × q)
    dense : mapping name → array
        Vectors and matrices that were trained whole.

    Raises
    ------
    ValueError
        When what is read back is not what was meant.
    """
    folder.mkdir(parents=True)
    tensors, fields = as_peft(like, products, dense)
    write_tensors(folder / WEIGHTS, tensors)
    text = json.dumps(fields, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")


def as_peft(
    like: ClientAdapter, products: Mapping[str, Pair], dense: Mapping[str, FloatArray]
) -> tuple[dict[str, FloatArray], dict[str, Any]]:
    """Tensors and configuration of an adapter; parameters as for :func:`write_adapter`.

    Where every product has the rank that it has in ``like``, the configuration stays as it is and B is divided by its
    scale, so that a client can load the tensors into the model that it has; elsewhere every scale is 1.

    Parameters
    ----------
    like : ClientAdapter
    products : mapping of str to pair of ndarray
        Module to (B, A).
    dense : mapping of str to ndarray
        Tensors that are no product.

    Returns
    -------
    tuple of dict
        Tensors by name, fields of the configuration.
    """
    tensors: dict[str, FloatArray] = {}
    own = like.products
    keep = all(left.shape[1] == own[module].rank and own[module].scale for module, (left, _) in products.items())
    if keep:
        products = {module: (left / own[module].scale, right) for module, (left, right) in products.items()}
    for module, (left, right) in products.items():
        if like.products[module].embedding:
            tensors[f"{PREFIX}{module}.lora_embedding_A"], tensors[f"{PREFIX}{module}.lora_embedding_B"] = right, left
        else:
            tensors[f"{PREFIX}{module}.lora_A.weight"], tensors[f"{PREFIX}{module}.lora_B.weight"] = right, left
    tensors |= {f"{PREFIX}{name}": tensor for name, tensor in dense.items()}
    tensors |= {f"{PREFIX}{module}.base_layer.weight": tensor.read() for module, tensor in like.base.items()}
    ranks = {module: left.shape[1] for module, (left, _) in products.items()}
    return tensors, dict(like.config.fields) if keep else _configuration(like, ranks)


def _configuration(like: ClientAdapter, ranks: Mapping[str, int]) -> dict[str, Any]:
    """α = s for every module.  Patterns are whole names, escaped; the longest first, since PEFT takes the first match
    and a name also matches those that end in it.
    """  # fmt: skip
    fields = {key: value for key, value in like.config.fields.items() if key not in _DROPPED}
    patterns = {re.escape(module): ranks[module] for module in sorted(ranks, key=lambda name: (-len(name), name))}
    largest = max(ranks.values())
    return fields | {
        "r": largest,
        "lora_alpha": largest,
        "rank_pattern": patterns,
        "alpha_pattern": patterns,
        "use_rslora": False,
        "init_lora_weights": True,
        "inference_mode": True,
        "lora_dropout": 0.0,
        "target_modules": sorted(ranks),
    }
