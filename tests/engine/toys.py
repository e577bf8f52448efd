"""Small regimes and methods for tests of the engine; importable, so that workers can load them."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from simulations.design import Study, crossed, grid, levels
from simulations.streams import Streams


@dataclass(frozen=True)
class Normal:
    """A sample of n normal numbers."""

    name: ClassVar[str] = "normal"
    mean: float = 0.0
    n: int = 5

    def generate(self, streams: Streams) -> dict[str, Any]:
        return {"mean": self.mean, "sample": self.mean + streams.generator("data").standard_normal(self.n)}


@dataclass(frozen=True)
class SampleMean:
    """The mean, with its 95 % interval."""

    name: ClassVar[str] = "sample_mean"

    def evaluate(self, instance: Any, generator: np.random.Generator) -> Mapping[str, float]:
        x = instance["sample"]
        se = float(x.std(ddof=1) / np.sqrt(x.size))
        return {"estimate": x.mean(), "truth": instance["mean"], "se": se, "covered": abs(x.mean()) < 1.96 * se}


# Environment variable: a factor of all pauses.  Rows do not depend on it.
PACE = "TOYS_PACE"


@dataclass(frozen=True)
class TrimmedMean:
    """Drops the extremes; uses its own randomness to break ties, so that method streams are tested too."""

    name: ClassVar[str] = "trimmed_mean"
    trim: int = 1
    seconds: float = 0.0

    def evaluate(self, instance: Any, generator: np.random.Generator) -> Mapping[str, float]:
        if self.seconds:
            time.sleep(self.seconds * float(os.environ.get(PACE, "1")))
        x = np.sort(instance["sample"])[self.trim : -self.trim]
        return {"estimate": x.mean(), "truth": instance["mean"], "coin": generator.random()}


# An ordinary error, then what no ``except Exception`` catches or no UTF-8 file can hold.
RAISED: dict[str, BaseException] = {
    "raise": ArithmeticError("the sample is too large"),
    "exit": SystemExit(0),
    "generator exit": GeneratorExit("the generator is closed"),
    "cancelled": asyncio.CancelledError("cancelled"),
    "interrupt": KeyboardInterrupt("a method that plays Ctrl-C"),
    "surrogate": RuntimeError("no text: \udcff"),
}


@dataclass(frozen=True)
class Trouble:
    """Does something bad on one replication, which it recognises by the data."""

    name: ClassVar[str] = "trouble"
    kind: str = "raise"
    above: float = 1.5

    def evaluate(self, instance: Any, generator: np.random.Generator) -> Mapping[str, float]:
        if instance["sample"][0] > self.above:
            if self.kind == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.kind == "hang":
                while True:
                    pass
            if self.kind == "hang_swallowing":
                while True:
                    with contextlib.suppress(Exception):
                        time.sleep(60)
            if self.kind == "hang_compiled":
                # As compiled code that never comes back to the interpreter: no Python signal handler runs in there.
                signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
                ctypes.CDLL(None).sleep(600)
            if self.kind in RAISED:
                raise RAISED[self.kind]
            if self.kind == "surrogate name":
                return {"a\udcff": 1.0}
            if self.kind == "nan":
                return {"estimate": float("nan")}
            if self.kind == "mutate":
                instance["sample"][:] = 0.0
        return {"estimate": float(instance["sample"].mean())}


def small(name: str = "small", replications: int = 20, root_seed: int = 7) -> Study:
    return Study(
        name=name,
        title="a small study",
        cells=crossed(grid(Normal, mean=levels(0.0, 1.0), n=5), [SampleMean(), TrimmedMean()]),
        replications=replications,
        root_seed=root_seed,
    )
