"""PEFT adapter folders in, a verdict and PEFT adapter folders out; PyTorch is not needed."""

from clair_stats.adapters.client import ClientAdapter
from clair_stats.adapters.folder import read_adapter
from clair_stats.adapters.refusal import AdapterRefused
from clair_stats.adapters.run import AdapterResult, aggregate_adapters

__all__ = ["AdapterRefused", "AdapterResult", "ClientAdapter", "aggregate_adapters", "read_adapter"]
