"""A copying federation as the folders that its clients would send, and the verdict on them beside that in memory.

``python -m simulations.copying.export FOLDER`` trains one federation of the copying studies, writes a PEFT
folder per client, judges both, and ends with status 0 if the verdicts are the same.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from clair_stats.adapters import aggregate_adapters
from clair_stats.adapters.tensors import write_tensors
from clair_stats.clair import CLAIR, NoMajorityWarning
from simulations.copying.lora import LoRAUpdates
from simulations.copying.regime import CopyingRegime
from simulations.design import content_hash
from simulations.streams import Streams

__all__ = ["same_verdict", "write_folders"]

_SEED = 20_261_148


def write_folders(updates: LoRAUpdates, folder: Path) -> list[Path]:
    """One PEFT folder per client, in single precision.

    Parameters
    ----------
    updates : LoRAUpdates
        Of all clients.
    folder : path
        Created; holds ``client-00``, ``client-01`` … afterwards.

    Returns
    -------
    list of path
        In the order of the clients.
    """
    n_clients, rank = next(iter(updates.right.values())).shape[:2]
    fields: dict[str, Any] = {
        "peft_type": "LORA",
        "base_model_name_or_path": "copying-transformer",
        "r": rank,
        "lora_alpha": updates.scaling * rank,
        "target_modules": sorted(updates.left),
    }
    folders = []
    for k in range(n_clients):
        own = folder / f"client-{k:02d}"
        own.mkdir(parents=True)
        tensors = {}
        for name in updates.left:
            tensors[f"base_model.model.{name}.lora_A.weight"] = updates.right[name][k]
            tensors[f"base_model.model.{name}.lora_B.weight"] = updates.left[name][k]
        write_tensors(own / "adapter_model.safetensors", tensors)
        (own / "adapter_config.json").write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")
        folders.append(own)
    return folders


def same_verdict(updates: LoRAUpdates, folder: Path) -> tuple[bool, str]:
    """Whether the folders are judged as the updates are in memory.

    Parameters
    ----------
    updates : LoRAUpdates
    folder : path
        As for :func:`write_folders`.

    Returns
    -------
    bool
    str
        Both verdicts in words.
    """
    write_folders(updates, folder)
    model = CLAIR()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoMajorityWarning)
        model.fit(updates.estimates())
    rows = {row.name: row.verdict for row in aggregate_adapters([folder]).report.rows}
    flagged = [f"client-{k:02d}" for k in np.flatnonzero(model.flagged_)]
    read_back = sorted(name for name, verdict in rows.items() if verdict == "flagged")
    decided = "undecided" not in rows.values()
    same = flagged == read_back and decided == model.majority_
    told = f"in memory {', '.join(flagged) or 'nobody'} flagged; from folders {', '.join(read_back) or 'nobody'}"
    return same, told if model.majority_ or decided else "no verdict, in memory and from folders"


def main() -> None:
    """Train, write, judge twice."""
    if len(sys.argv) != 2:
        sys.exit("give the folder for the clients' folders: python -m simulations.copying.export FOLDER")
    regime = CopyingRegime()
    world = regime.generate(Streams(_SEED, content_hash(regime), 0))
    same, told = same_verdict(world.first, Path(sys.argv[1]))
    sys.stdout.write(f"{told}\n")
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
