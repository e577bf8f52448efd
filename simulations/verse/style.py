"""Style by likelihood and by rule: who wrote this, was it any of us, and does what a client's model writes scan?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch.nn import functional

from clair_stats.records import FloatArray
from simulations.copying.finetune import sequence_tokens
from simulations.copying.lora import Updates, merged
from simulations.copying.pretrain import BaseModel
from simulations.copying.transformer import forward
from simulations.measures.ordering import probability_above
from simulations.verse.language import IntArray
from simulations.verse.poets import VerseWorld
from simulations.verse.schools import POEM, SCHOOLS, kept_rules

__all__ = ["attributed", "continued", "poem_losses", "style_metrics"]

_TIE = 1e-5  # nats per token; models that are one and the same differ by rounding only
_CHUNK = 48  # poems per forward pass, to bound memory


def poem_losses(base: BaseModel, updates: Updates, poems: IntArray) -> FloatArray:
    """Mean cross-entropy per token of the second half of every poem, given the first, under every model, (K, n).

    Parameters
    ----------
    base : BaseModel
    updates : mapping of str to ndarray, shape (K, out, in)
    poems : int ndarray, shape (n, 36)
    """
    parameters = merged(base.parameters, updates)
    n_models, half = len(next(iter(updates.values()))), POEM // 2
    parts = []
    with torch.no_grad():
        for start in range(0, len(poems), _CHUNK):
            part = torch.as_tensor(poems[start : start + _CHUNK]).expand(n_models, -1, -1)
            x, y = part[..., :half], part[..., half:]
            scores = forward(base.config, parameters, sequence_tokens(base.config, x, y))
            loss = functional.cross_entropy(scores.flatten(0, 2), y.flatten(), reduction="none")
            parts.append(loss.view(y.shape).double().mean(dim=2))
    return np.asarray(torch.cat(parts, dim=1).numpy(), dtype=np.float64)


def attributed(losses: FloatArray) -> FloatArray:
    """To whom each poem is ascribed, (n, K): one at the model of the smallest loss, shared where models tie.

    Parameters
    ----------
    losses : ndarray, shape (K, n)
    """
    best = losses <= losses.min(axis=0) + _TIE
    return np.asarray((best / best.sum(axis=0)).T, dtype=np.float64)


def continued(base: BaseModel, updates: Updates, openings: IntArray, generator: np.random.Generator) -> IntArray:
    """Poems that every model writes, token by token at temperature 1, (K, n, 36), from its openings (K, n, 18).

    Parameters
    ----------
    base : BaseModel
    updates : mapping of str to ndarray, shape (K, out, in)
    openings : int ndarray, shape (K, n, 18)
    generator : numpy.random.Generator
    """
    parameters = merged(base.parameters, updates)
    x = torch.as_tensor(openings.copy())
    y = torch.zeros_like(x)
    draws = torch.as_tensor(generator.random((y.shape[2], *y.shape[:2], 1)), dtype=torch.float32)
    with torch.no_grad():
        for place in range(y.shape[2]):
            scores = forward(base.config, parameters, sequence_tokens(base.config, x, y))[:, :, place]
            cumulated = scores.softmax(-1).cumsum(-1)
            y[:, :, place] = (cumulated > draws[place] * cumulated[..., -1:]).int().argmax(-1)
    return np.asarray(torch.cat([x, y], dim=2).numpy(), dtype=np.int64)


def style_metrics(
    world: VerseWorld, updates: Mapping[str, FloatArray], generator: np.random.Generator
) -> dict[str, float]:
    """How the honest poets' models tell poems apart, and what they write.

    Parameters
    ----------
    world : VerseWorld
    updates : mapping of str to ndarray, shape (K, out, in)
        ΔW_k that the clients use.
    generator : numpy.random.Generator
        Of the poems that are written.

    Returns
    -------
    dict of str to float
        "own_loss" (nats per token, own test poems under the own model); "author" and "school": share of honest test
        poems ascribed to their poet, and to a poet of their school; "A as B" for all schools: share of the poems of
        school A ascribed to school B; "forged": probability that a forged poem's best loss exceeds an honest one's
        (NaN without forgers); "layout", "stress", "rhyme": what the models' own poems keep of their school's rules.
    """
    honest = world.collaborative_set
    models = {name: blocks[honest] for name, blocks in updates.items()}
    own = world.tests[honest]
    n_poets, n_test = own.shape[:2]
    losses = poem_losses(world.base, models, own.reshape(-1, POEM))
    writers = np.repeat(np.arange(n_poets), n_test)
    shares = attributed(losses)
    schools = np.array([poet.school for poet in world.poets])[honest]
    by_school = shares @ np.eye(len(SCHOOLS))[schools]
    found = {
        "own_loss": float(losses[writers, np.arange(writers.size)].mean()),
        "author": float(shares[np.arange(writers.size), writers].mean()),
        "school": float(by_school[np.arange(writers.size), schools[writers]].mean()),
    }
    for i, true in enumerate(SCHOOLS):
        own_poems = by_school[schools[writers] == i]
        mean = own_poems.mean(axis=0) if len(own_poems) else np.full(len(SCHOOLS), np.nan)
        found |= {f"{true.name} as {guess.name}": float(mean[j]) for j, guess in enumerate(SCHOOLS)}
    forged = np.zeros(0)
    if not honest.all():
        forged = poem_losses(world.base, models, world.tests[~honest].reshape(-1, POEM)).min(axis=0)
    found["forged"] = probability_above(forged, losses.min(axis=0))
    return found | _rules(world, models, own, schools, generator)


def _rules(
    world: VerseWorld,
    models: Mapping[str, FloatArray],
    own: IntArray,
    schools: IntArray,
    generator: np.random.Generator,
) -> dict[str, float]:
    """Means over honest poets of the rules kept in poems begun by the openings of their test poems."""
    poems = continued(world.base, models, own[..., : POEM // 2], generator)
    kept = [kept_rules(SCHOOLS[school], poems[k], POEM // 2) for k, school in enumerate(schools.tolist())]
    means: dict[str, float] = {}
    for name in ("layout", "stress", "rhyme"):
        values = np.array([rules[name].mean() for rules in kept])
        means[name] = float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
    return means
