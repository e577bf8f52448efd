"""One client's adapter folder, as PEFT's ``save_pretrained`` writes it."""

from __future__ import annotations

from pathlib import Path

from clair_stats.adapters.client import ClientAdapter, checked_adapter
from clair_stats.adapters.config import read_config
from clair_stats.adapters.refusal import AdapterRefused
from clair_stats.adapters.tensors import read_header

__all__ = ["WEIGHTS", "read_adapter"]

WEIGHTS = "adapter_model.safetensors"


def read_adapter(folder: Path, name: str | None = None) -> ClientAdapter:
    """Read one folder.

    Parameters
    ----------
    folder : path
    name : str, optional
        The client's name; the folder's when not given.

    Returns
    -------
    ClientAdapter

    Raises
    ------
    AdapterRefused
        Anything missing, damaged, not finite or of another kind, see
        :func:`~clair_stats.adapters.client.checked_adapter`.
    """
    if not folder.is_dir():
        raise AdapterRefused("no such folder; give a folder written by PEFT's save_pretrained")
    if not (folder / WEIGHTS).exists() and any(folder.glob("*.bin")):
        raise AdapterRefused("holds a .bin file, a pickle that can run code; save it with safe_serialization=True")
    config = read_config(folder)
    return checked_adapter(folder.name if name is None else name, read_header(folder / WEIGHTS), config)
