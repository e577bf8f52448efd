"""One federation drawn again from its streams: scores, spectra, certificate per module, one client's answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from reports.figures import style_of
from reports.renderers.copying.names import NAMES
from reports.tables import Table, plain_table, to_markdown

if TYPE_CHECKING:
    import torch
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from simulations.copying.federated import FederatedOutcome, World

__all__ = ["certificate_table", "outcomes_of", "scores_picture", "spectra_picture", "worked_client"]

Outcomes: TypeAlias = "Mapping[tuple[str, int], FederatedOutcome]"  # by method and number of rounds

_METHODS = ("local", "average", "clair")
_ROUNDS = (1, 2, 3)
_SEQUENCES = 4  # of one client, shown in full


def outcomes_of(world: World, rank: int) -> Outcomes:
    """What local training, averaging and CLAIR hand out after one, two and three rounds."""
    from simulations.copying.federated import run_rounds

    return {(m, t): run_rounds(world, m, rounds=t, rank=rank) for m in _METHODS for t in _ROUNDS}


def _draw_scores(axis: Axes, world: World, outcomes: Outcomes) -> None:
    benign = world.federation.collaborative_set
    found = outcomes["clair", 1].collaboration
    if found is None:
        raise ValueError("CLAIR's outcome carries no collaborative set; draw the federation again")
    order = np.argsort(found.scores)
    places = np.arange(order.size)
    for i, (label, chosen) in enumerate((("benign", benign[order]), ("contaminated", ~benign[order]))):
        style = {**style_of(i), "linestyle": "none"}
        axis.plot(places[chosen], found.scores[order][chosen], markersize=4, label=label, **style)
    axis.plot(places, found.thresholds[order], color="black", linewidth=0.8, linestyle="--", label="flagged above")
    axis.set(xlabel="clients, ordered", ylabel="standard deviations\nabove benign clients")
    axis.legend(fontsize=7, frameon=False)


def scores_picture(world: World, outcomes: Outcomes) -> Figure:
    """Scores of all clients with the threshold, and accuracy round by round."""
    from matplotlib.figure import Figure

    from simulations.copying.evaluate import score

    benign = world.federation.collaborative_set
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_scores(left, world, outcomes)
    for i, method in enumerate(_METHODS):
        own = [
            score(world.base, outcomes[method, t].updates, world.tests.own).token_accuracy[benign].mean()
            for t in _ROUNDS
        ]
        right.plot(_ROUNDS, own, label=NAMES[method], **style_of(i))
    right.set(xlabel="round", ylabel="own token accuracy, benign", xticks=_ROUNDS)
    right.legend(fontsize=8)
    return figure


def spectra_picture(world: World) -> Figure:
    """Singular values of the benign clients' deviations from their mean, per module."""
    from matplotlib.figure import Figure

    from simulations.copying.diagnostics import spectra

    figure = Figure(figsize=(6, 3))
    axis = figure.subplots()
    found = spectra(world.first.dense(), world.federation.collaborative_set)
    for i, (name, values) in enumerate(found.items()):
        style = {**style_of(i), "marker": ""}
        axis.plot(np.arange(1, values.size + 1), values / values[0], linewidth=0.9, label=name, **style)
    axis.set(xlabel="index", ylabel="singular value / largest", yscale="log", ylim=(1e-3, 1.2), xlim=(0, 60))
    axis.legend(fontsize=7, ncols=2)
    return figure


def certificate_table(world: World, rank: int) -> Table:
    """Off-subspace share, leverage and plug-in instance certificate of every module."""
    from simulations.copying.collaborate import unit_directions
    from simulations.copying.diagnostics import leverages, off_subspace_share, plug_in_certificates
    from simulations.copying.federated import first_collaboration

    found = first_collaboration(world, rank, "columns")
    members, directions = found.collaborative_set, unit_directions(world.first.dense())
    shares = off_subspace_share(directions, found.bases, members)
    worst = leverages(directions, found.bases, members)
    lines = []
    for name, certificate in plug_in_certificates(directions, found.bases, members).items():
        numbers = (shares[name], worst[name], certificate.eta, certificate.kappa)
        lines.append((name, *(f"{value:.2f}" for value in numbers), "yes" if certificate.certified else "no"))
    return plain_table("copying-certificate", ("module", "off-subspace share", "ν_c", "η", "κ", "certified"), lines)


def _answer(label: str, written: torch.Tensor, wanted: torch.Tensor, *, mark: bool) -> tuple[str, ...]:
    cells = []
    for got, right in zip(written.tolist(), wanted.tolist(), strict=True):
        cells.append(" ".join(str(g) if g == w or not mark else f"**{g}**" for g, w in zip(got, right, strict=True)))
    return label, *cells


def worked_client(world: World, outcomes: Outcomes) -> str:
    """The answers of the first benign client to four sequences of common tokens, as Markdown."""
    import torch

    from simulations.copying.finetune import sequence_tokens
    from simulations.copying.lora import merged
    from simulations.copying.transformer import forward

    k = int(np.flatnonzero(world.federation.collaborative_set)[0])
    common = world.tests.common
    x, y = (torch.as_tensor(np.array(side[:, :_SEQUENCES])) for side in (common.x, common.y))
    tokens = sequence_tokens(world.base.config, x, y)
    lines = [_answer("x", x[k], y[k], mark=False), _answer("wanted y", y[k], y[k], mark=True)]
    parameters = world.base.to(torch.device("cpu"), torch.float32)
    with torch.no_grad():
        for method in _METHODS:
            updates = outcomes[method, _ROUNDS[-1]].updates
            answers = forward(world.base.config, merged(parameters, updates), tokens).argmax(-1)
            lines.append(_answer(NAMES[method], answers[k], y[k], mark=True))
    heading = ("", *(f"sequence {i + 1}" for i in range(_SEQUENCES)))
    shown = to_markdown(plain_table("copying-client", heading, lines))
    return f"Client {k}, common tokens, after three rounds; wrong tokens are bold.\n\n{shown}"
