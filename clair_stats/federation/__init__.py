"""One round of a federation of LoRA adapters: replies in, aggregate, refined adapters and a verdict out."""

from clair_stats.federation.evidence import ClientEvidence
from clair_stats.federation.round import Adapter, Reply, RoundResult, aggregate_round

__all__ = ["Adapter", "ClientEvidence", "Reply", "RoundResult", "aggregate_round"]
