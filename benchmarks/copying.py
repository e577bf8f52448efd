"""Batched LoRA fine-tuning against client after client: the same code on all clients at once, and on one at a time.

Both are timed in turns in one process, in the setting of the study ``copying`` (first round): with one PyTorch thread
by processor time, with two by the wall clock.  ``python -m benchmarks copying`` runs it and puts the table on the page.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from simulations.copying.finetune import finetune
from simulations.copying.lora import LoRAUpdates
from simulations.copying.regime import CopyingRegime
from simulations.streams import Streams

REPETITIONS = 7


def compare(threads: int, clock: Callable[[], float]) -> dict[str, Any]:
    """Smallest seconds of both, the median of the ratios of neighbouring runs, and how far the results differ."""
    world = CopyingRegime().generate(Streams(1, "0" * 64, 0))

    def train(batched: bool) -> tuple[float, LoRAUpdates]:
        start = clock()
        found = finetune(
            world.base,
            world.data,
            world.lora,
            world.training,
            initial_right=world.initial_right,
            generator=np.random.default_rng(1),
            batched=batched,
            device="cpu",
        )
        return clock() - start, found

    torch.set_num_threads(threads)
    together, apart = train(True)[1].dense(), train(False)[1].dense()
    times = np.array([(train(True)[0], train(False)[0]) for _ in range(REPETITIONS)])
    return {
        "clients": world.federation.n_clients,
        "steps": world.training.steps,
        "threads": threads,
        "together, s": float(times[:, 0].min()),
        "client after client, s": float(times[:, 1].min()),
        "times faster": float(np.median(times[:, 1] / times[:, 0])),
        "largest difference of an entry of ΔW": max(float(np.abs(together[m] - apart[m]).max()) for m in together),
    }


if __name__ == "__main__":
    # JSON on the last line, for benchmarks.measure.in_own_process.
    print(json.dumps({"rows": [compare(1, time.process_time), compare(2, time.perf_counter)]}))
