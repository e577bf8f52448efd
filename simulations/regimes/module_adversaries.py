"""Attackers of a federation that sends several modules: all of them know the others' updates and speak last.

=============  ====================================================================================================
plan           what the attackers send, beside an honest update
=============  ====================================================================================================
one module     a direction of their own in one module, as large as the update itself; all other modules are honest
all modules    the same squared norm spread evenly over all modules
copies         one honest client's update in every module, to the last digit
sybils         one and the same update in every module, with the shared direction of "all modules"
=============  ====================================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, TypeAlias

import numpy as np

from clair_stats.estimates import ClientEstimates
from clair_stats.records import BoolArray, FloatArray
from simulations.regimes.adapter_modules import AdapterModulesRegime, ModulesInstance
from simulations.regimes.contamination import draw_members
from simulations.streams import Streams

__all__ = ["MODULE_PLANS", "ModuleAdversaryRegime", "ModulePlan"]

ModulePlan: TypeAlias = Literal["one module", "all modules", "copies", "sybils"]
MODULE_PLANS: tuple[ModulePlan, ...] = ("one module", "all modules", "copies", "sybils")


@dataclass(frozen=True, kw_only=True)
class ModuleAdversaryRegime(AdapterModulesRegime):
    """Adapters of several modules with attackers who speak last.

    Parameters
    ----------
    plan : {"one module", "all modules", "copies", "sybils"}
        See above.  ``contamination`` and its scale are not used.
    """

    name: ClassVar[str] = "module adversaries"

    plan: ModulePlan = "one module"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.plan not in MODULE_PLANS:
            raise ValueError(f"plan: {self.plan!r}; choose one of {', '.join(MODULE_PLANS)}")

    def generate(self, streams: Streams) -> ModulesInstance:  # type: ignore[override]
        """The honest federation, who attacks ("contamination"), and what is sent ("attack")."""
        honest = AdapterModulesRegime.generate(replace(self, share=0.0), streams)
        attacked = draw_members(self.n_clients, self.share, streams.generator("contamination"))
        generator = streams.generator("attack")
        modules = {}
        for number, (name, record) in enumerate(honest.modules.items()):
            values = record.dense().copy()
            values[attacked] = self._sent(values, attacked, number, generator)
            modules[name] = ClientEstimates(values=values)
        return ModulesInstance(modules, ~attacked, honest.targets)

    def _sent(self, values: FloatArray, attacked: BoolArray, number: int, generator: np.random.Generator) -> FloatArray:
        count, model = int(attacked.sum()), int(np.flatnonzero(~attacked)[0])
        shared = generator.standard_normal((self.n_rows, 1)) @ generator.standard_normal((1, self.n_columns))
        shared /= np.linalg.norm(shared)
        size = float(np.median(np.linalg.norm(values, axis=(1, 2))))
        if self.plan == "copies":
            return np.repeat(values[model : model + 1], count, axis=0)
        if self.plan == "one module":
            return self._cut(values[attacked] + size * shared) if number == 0 else values[attacked]
        share = size / np.sqrt(self.n_modules)
        if self.plan == "all modules":
            return self._cut(values[attacked] + share * shared)
        return np.repeat(self._cut(values[model : model + 1] + share * shared), count, axis=0)

    def _cut(self, blocks: FloatArray) -> FloatArray:
        """To the rank of the honest adapters."""
        left, sizes, right = np.linalg.svd(blocks, full_matrices=False)
        rank = max(self.adapter_ranks)
        return np.asarray((left[..., :rank] * sizes[..., None, :rank]) @ right[..., :rank, :])
