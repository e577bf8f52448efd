"""Evaluation of a client's model: loss and accuracy on its own and on common sequences, and the backdoor's success."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from clair_stats.records import FloatArray
from simulations.copying.federation import ClientData, Federation
from simulations.copying.finetune import pick_device, sequence_tokens
from simulations.copying.lora import Updates, merged
from simulations.copying.pretrain import BaseModel
from simulations.copying.transformer import forward

__all__ = ["Scores", "TestSets", "draw_tests", "score"]


@dataclass(frozen=True, eq=False)
class Scores:
    """Per client, shape (K,)."""

    loss: FloatArray  # mean cross-entropy per token, nats
    token_accuracy: FloatArray
    sequence_accuracy: FloatArray  # all L tokens right; equal to the exact-match rate of greedy decoding


@dataclass(frozen=True, eq=False)
class TestSets:
    """Held-out sequences: own tokens and rule, common tokens with own or common rule, and the trigger planted."""

    own: ClientData
    common: ClientData  # common tokens, the client's own rule
    common_rule: ClientData  # common tokens, the rule without the personal variation
    triggered: ClientData


def draw_tests(
    federation: Federation, length: int, n_own: int, n_common: int, generator: np.random.Generator
) -> TestSets:
    """Test sequences of all kinds; "own" follows a client's own source and benign rule.

    The common sequences are uniform tokens, or with ``source="text"`` windows of the benign clients' pooled texts.

    Parameters
    ----------
    federation : Federation
    length : int
        Tokens of a sequence.
    n_own, n_common : int
        Sequences per client, and common ones.
    generator : numpy.random.Generator
    """
    n_clients = federation.n_clients
    own_x = np.stack([source.draw(n_own, length, generator) for source in federation.sources])
    own_y = np.stack([rule.write(x, generator) for rule, x in zip(federation.own_rules, own_x, strict=True)])
    if federation.config.source == "text":
        benign = np.flatnonzero(federation.collaborative_set)
        writers = generator.choice(benign, size=n_common)
        x = np.concatenate([federation.sources[int(k)].draw(1, length, generator) for k in writers])
    else:
        x = generator.integers(federation.common_rule.mapping.size, size=(n_common, length))
    y = federation.common_rule.write(x, generator)
    own_common_y = np.stack([rule.write(x, generator) for rule in federation.own_rules])
    planted = x.copy()
    planted[:, 0] = federation.trigger
    attacked = np.full_like(planted, federation.target)

    def repeated(a: np.ndarray) -> np.ndarray:
        return np.broadcast_to(a, (n_clients, *a.shape))

    return TestSets(
        own=ClientData(own_x, own_y, np.full(n_clients, n_own)),
        common=ClientData(repeated(x), own_common_y, np.full(n_clients, n_common)),
        common_rule=ClientData(repeated(x), repeated(y), np.full(n_clients, n_common)),
        triggered=ClientData(repeated(planted), repeated(attacked), np.full(n_clients, n_common)),
    )


def score(
    base: BaseModel,
    updates: Updates,
    data: ClientData,
    *,
    device: str = "auto",
    dtype: torch.dtype = torch.float32,
    chunk: int = 64,
) -> Scores:
    """Loss and accuracy of every client's model W + ΔW_k on its sequences.

    Accuracies are those of predicting each y_i after the true y_1 … y_{i−1}; a whole sequence is right under this rule
    exactly when greedy decoding writes it, so no decoding loop is needed for ``sequence_accuracy``.

    Parameters
    ----------
    base : BaseModel
    updates : mapping name -> array (K, out, in)
        ΔW_k; an empty mapping scores the base model.
    data : ClientData
    device : str
        "cpu", "cuda", or "auto" for a GPU where there is one.
    dtype : torch.dtype
        In which the forward passes run.
    chunk : int
        Sequences per forward pass, to bound memory.
    """
    where = pick_device(device)
    parameters = merged(base.to(where, dtype), updates)
    losses, right, whole = [], [], []
    with torch.no_grad():
        for start in range(0, data.x.shape[1], chunk):
            x, y = (torch.as_tensor(np.array(a[:, start : start + chunk]), device=where) for a in (data.x, data.y))
            logits = forward(base.config, parameters, sequence_tokens(base.config, x, y))
            losses.append(functional.cross_entropy(logits.flatten(0, 2), y.flatten(), reduction="none").view(y.shape))
            hit = logits.argmax(-1) == y
            right.append(hit)
            whole.append(hit.all(-1))
    loss = torch.cat(losses, dim=1).double().mean(dim=(1, 2))
    tokens = torch.cat(right, dim=1).double().mean(dim=(1, 2))
    sequences = torch.cat(whole, dim=1).double().mean(dim=1)
    return Scores(*(value.cpu().numpy() for value in (loss, tokens, sequences)))
