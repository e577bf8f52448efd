"""Processor seconds of the schemes of the study ``rivals_copying``, beside one CLAIR fit, in one process.

``python -m benchmarks.rivals_copying`` prints a Markdown table; about three minutes of one core, PyTorch with one
thread.  Training is what all clients together spend on it, aggregating what the server and the clients do beside.  The
first round of training is part of the federation where a scheme trains both factors, and its seconds are added.  Where
CLAIR judges, its fit is part of aggregating.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

from simulations.copying import federated, rival_rounds
from simulations.copying.federated import World, first_collaboration
from simulations.copying.finetune import finetune
from simulations.copying.pretrain import one_thread
from simulations.copying.regime import CopyingRegime
from simulations.streams import Streams

__all__ = ["main", "measured"]

_ROUNDS = 3
_RANK = 4  # of CLAIR's refinement, as in the study
_REPETITIONS = 2  # the smaller of them
_TRAIN_BOTH_FACTORS = frozenset(rival_rounds.SCHEMES) - {"ffa_lora", "rolora"}


@contextmanager
def _training_counted() -> Iterator[list[float]]:
    """Processor seconds of every call of ``finetune`` inside."""
    spent: list[float] = []

    def counted(original: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **named: object) -> object:
            start = time.process_time()
            found = original(*args, **named)
            spent.append(time.process_time() - start)
            return found

        return call

    with (
        patch("simulations.copying.federated.finetune", counted(finetune)),
        patch("simulations.copying.rival_rounds.finetune", counted(finetune)),
    ):
        yield spent


def measured(world: World, scheme: str, *, rounds: int, repetitions: int) -> tuple[float, float]:
    """Processor seconds of training and of everything else, each the smallest of the repetitions.

    Parameters
    ----------
    world : World
    scheme : str
    rounds, repetitions : int

    Returns
    -------
    tuple of float
        Seconds of training without the federation's own first round, and of the rest.
    """
    training, rest = [], []
    for _ in range(repetitions):
        first_collaboration.cache_clear()
        with _training_counted() as spent:
            start = time.process_time()
            rival_rounds.run_scheme(world, scheme, rounds=rounds, rank=_RANK)
            total = time.process_time() - start
        training.append(sum(spent))
        rest.append(total - sum(spent))
    return min(training), min(rest)


def _fastest(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(3):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def main() -> None:
    """Measure and print, the slowest aggregation first."""
    with one_thread():
        world = CopyingRegime().generate(Streams(1, "0" * 64, 0))
        # The function under its cache, which keeps the verdict for the next scheme.
        fit = _fastest(lambda: first_collaboration.__wrapped__(world, _RANK, "columns"))
        first = _fastest(
            lambda: federated.train_round(
                world.base,
                world.federation,
                world.data,
                world.lora,
                world.training,
                world.initial_right,
                world.round_seed,
                0,
                None,
            )
        )
        found = {}
        for scheme in rival_rounds.SCHEMES:
            training, rest = measured(world, scheme, rounds=_ROUNDS, repetitions=_REPETITIONS)
            found[scheme] = training + (first if scheme in _TRAIN_BOTH_FACTORS else 0.0), rest
    print(f"{world.federation.n_clients} clients, {_ROUNDS} rounds; one CLAIR fit of the first round {fit:.3f} s\n")
    print("| scheme | training, s | over one CLAIR fit | aggregating, s | over one CLAIR fit |")
    print("| --- | --- | --- | --- | --- |")
    for scheme, (training, rest) in sorted(found.items(), key=lambda item: -item[1][1]):
        print(f"| {scheme} | {training:.2f} | {training / fit:.3g} | {rest:.3f} | {rest / fit:.3g} |")


if __name__ == "__main__":
    main()
