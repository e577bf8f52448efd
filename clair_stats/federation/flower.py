"""A strategy for Flower's Message API: the round of :mod:`clair_stats.federation.round` between FedAvg's doors.

Needs ``flwr`` 1.41 or newer, below 2.  Clients reply with their adapter's tensors in the ArrayRecord, "num-examples" in
the MetricRecord and, if they like, a ConfigRecord with "client-name" and "adapter-config" (JSON; the server's when
absent).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from logging import WARNING
from pathlib import Path
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from clair_stats.federation.folder import RoundFolder
from clair_stats.federation.round import Adapter, Reply, RoundResult, aggregate_round
from clair_stats.federation.weights import CAP

__all__ = ["ClairStrategy"]


class ClairStrategy(FedAvg):
    """FedAvg that names contaminated clients and leaves them out.

    Parameters
    ----------
    adapter_config : mapping
        What ``adapter_config.json`` holds; its rank is that of what is sent.
    report_folder : path, optional
        ``round-N/report.json`` and ``report.html`` go there, and ``evidence.json``, which a restarted server reads.
    level : float
        Probability of any false alarm, half of it for each round and half for all rounds together.
    personalised : bool
        Whether every benign client is sent its own refined adapter, and everybody else the aggregate.
    weight_cap : float
        A client counts for at most this many times the median client.
    **options
        Of :class:`flwr.serverapp.strategy.FedAvg`.
    """

    def __init__(
        self,
        adapter_config: Mapping[str, Any],
        *,
        report_folder: Path | str | None = None,
        level: float = 0.05,
        personalised: bool = False,
        weight_cap: float = CAP,
        **options: Any,  # noqa: ANN401 - FedAvg checks them
    ) -> None:
        super().__init__(**options)
        self.adapter_config = dict(adapter_config)
        self.folder = RoundFolder(report_folder)
        self.level, self.personalised, self.weight_cap = level, personalised, weight_cap
        self.evidence = self.folder.evidence()
        self.last: RoundResult | None = None
        self._sent: dict[int, Adapter] = {}  # by node, what it started from in this round
        self._refined: dict[int, Adapter] = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """FedAvg's messages, each with the adapter that its node starts from.

        Parameters
        ----------
        server_round : int
        arrays : flwr.app.ArrayRecord
        config : flwr.app.ConfigRecord
        grid : flwr.serverapp.Grid

        Returns
        -------
        iterable of flwr.app.Message
        """
        config["adapter-config"] = json.dumps(self.adapter_config)
        common = Adapter(_numbers(arrays), self.adapter_config)
        messages = list(super().configure_train(server_round, arrays, config, grid))
        self._sent = {}
        for message in messages:
            node = message.metadata.dst_node_id
            own = self._refined.get(node) if self.personalised else None
            self._sent[node] = own or common
            if own is not None:
                record = RecordDict({self.arrayrecord_key: _record(own), self.configrecord_key: config})
                message.content = record
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Judge and average; without a verdict nothing is sent on, and the previous adapter stays.

        Parameters
        ----------
        server_round : int
        replies : iterable of flwr.app.Message

        Returns
        -------
        tuple of flwr.app.ArrayRecord or None, and flwr.app.MetricRecord or None
        """
        answered, failed = self._check_and_log_replies(list(replies), is_train=True, validate=False)
        nodes = {_name(message): message.metadata.src_node_id for message in answered}
        absent = {f"node {m.metadata.src_node_id}": f"its reply is an error: {m.error.reason}" for m in failed}
        try:
            result = aggregate_round(
                [self._reply(message) for message in answered],
                previous={name: self._sent[node] for name, node in nodes.items() if node in self._sent},
                absent=absent,
                evidence=self.evidence,
                level=self.level,
                rank=int(self.adapter_config["r"]),
                weight_cap=self.weight_cap,
                refined=self.personalised,
            )
        except ValueError as error:
            log(WARNING, "aggregate_train: no verdict, the previous adapter stays: %s", error)
            return None, None
        self.last, self.evidence = result, result.evidence
        self._refined = {nodes[name]: adapter for name, adapter in result.refined.items()}
        self.folder.write(server_round, result)
        verdicts = [row.verdict for row in result.report.rows]
        told: dict[str, int | float] = {f"clients-{v}": verdicts.count(v) for v in dict.fromkeys(verdicts)}
        log(WARNING if result.excluded else 20, "aggregate_train: %s", result.report.explanation)
        return None if result.aggregate is None else _record(result.aggregate), MetricRecord(told)

    def _reply(self, message: Message) -> Reply:
        arrays = next(iter(message.content.array_records.values()), None)
        metrics: Mapping[str, Any] = next(iter(message.content.metric_records.values()), {})
        stated = metrics.get(self.weighted_by_key, 1.0)
        config = _config(message).get("adapter-config")
        try:
            fields = self.adapter_config if config is None else json.loads(str(config))
        except ValueError:
            fields = {}  # refused by name, as any configuration that is none
        numbers = {} if arrays is None else _numbers(arrays)
        examples = float(stated) if isinstance(stated, int | float) else 1.0
        return Reply(_name(message), Adapter(numbers, fields if isinstance(fields, dict) else {}), examples)


def _config(message: Message) -> Mapping[str, Any]:
    return next(iter(message.content.config_records.values()), {})


def _name(message: Message) -> str:
    """The name that a client gives itself, with its node, which it cannot choose."""
    own, node = _config(message).get("client-name"), message.metadata.src_node_id
    return f"node {node}" if own is None else f"{own} (node {node})"


def _numbers(arrays: ArrayRecord) -> dict[str, Any]:
    return {key: array.numpy() for key, array in arrays.items()}


def _record(adapter: Adapter) -> ArrayRecord:
    return ArrayRecord({name: Array(tensor) for name, tensor in adapter.tensors.items()})
