"""The clients: benign ones with one common rule and small variations of it, and contaminated ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from clair_stats.records import BoolArray
from simulations.copying.task import IntArray, Source, TokenRule, draw_source, personal_variant, substitution

__all__ = ["CONTAMINATIONS", "ClientData", "Federation", "FederationConfig", "draw_data", "draw_federation"]

CONTAMINATIONS = ("random_mapping", "coordinated_mapping", "label_noise", "reversed_copy", "backdoor", "sign_flip")


@dataclass(frozen=True, eq=False)
class ClientData:
    """Sequences of K clients, padded to the largest client."""

    x: IntArray  # (K, n_max, L)
    y: IntArray  # (K, n_max, L)
    sample_sizes: IntArray  # (K,), n_k; rows beyond n_k are padding

    @property
    def n_clients(self) -> int:
        """K."""
        return int(self.x.shape[0])

    def half(self, number: int) -> ClientData:
        """Every client's even (0) or odd (1) sequences; a client with one sequence keeps it in both."""
        chosen = slice(number, None, 2)
        sizes = np.maximum((self.sample_sizes + 1 - number) // 2, 1)
        x, y = self.x[:, chosen], self.y[:, chosen]
        if number == 1:
            alone = self.sample_sizes == 1
            x, y = x.copy(), y.copy()
            x[alone, 0], y[alone, 0] = self.x[alone, 0], self.y[alone, 0]
        return ClientData(x, y, sizes)

    def of(self, clients: BoolArray) -> ClientData:
        """The data of some clients only.

        Parameters
        ----------
        clients : bool ndarray, shape (K,)
        """
        return ClientData(self.x[clients], self.y[clients], self.sample_sizes[clients])


@dataclass(frozen=True)
class FederationConfig:
    """The clients of one federation.

    Parameters
    ----------
    n_clients : int
        K.
    contaminated_share : float
        γ; the number of contaminated clients is round(γK).
    contamination : str
        ``random_mapping``: each contaminated client has a substitution of its own; ``coordinated_mapping``: they share
        one wrong substitution; ``label_noise``: y is uniform noise; ``reversed_copy``: y is x backwards;
        ``backdoor``: the benign rule, except that x_1 = trigger makes every y_i the target;
        ``sign_flip``: trained like a benign client, then ΔW is multiplied by ``-flip_scale``.
    n_sequences : int
        Sequences of an ordinary client.
    n_sequences_spread : float
        Largest over smallest n_k, log-uniform in between.
    changed_tokens : int
        Tokens moved by the common substitution (and by a wrong one).
    personal_tokens : int
        Size of one group of tokens, the same for all clients, whose images each client permutes in its own way.
    source : {"tokens", "text"}
        See :func:`~simulations.copying.task.draw_source`.
    spread : float
        Standard deviation of the log token (or word) weights of a client.
    trigger_share : float
        Share of a backdoor client's sequences that carry the trigger.
    flip_scale : float
        Multiplier of the sign-flip.
    """

    n_clients: int = 20
    contaminated_share: float = 0.3
    contamination: str = "random_mapping"
    n_sequences: int = 16
    n_sequences_spread: float = 1.0
    changed_tokens: int = 16
    personal_tokens: int = 4
    source: str = "tokens"
    spread: float = 1.0
    trigger_share: float = 0.5
    flip_scale: float = 1.0

    def __post_init__(self) -> None:
        if self.n_clients < 3:
            raise ValueError(f"n_clients: {self.n_clients}; a federation needs at least 3 clients")
        if not 0.0 <= self.contaminated_share < 1.0:
            raise ValueError(f"contaminated_share: {self.contaminated_share} must be in [0, 1)")
        if self.contamination not in CONTAMINATIONS:
            raise ValueError(f"contamination: {self.contamination!r} is unknown; choose from {CONTAMINATIONS}")
        if self.n_sequences < 1 or self.n_sequences_spread < 1.0:
            raise ValueError("n_sequences and n_sequences_spread must be at least 1")
        if self.changed_tokens < 2 or self.personal_tokens < 0:
            raise ValueError("changed_tokens must be at least 2 and personal_tokens at least 0")
        for name in ("spread", "trigger_share", "flip_scale"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0.0):
                raise ValueError(f"{name}: {getattr(self, name)} must be finite and not negative")

    @property
    def n_contaminated(self) -> int:
        """|O|."""
        return round(self.contaminated_share * self.n_clients)


@dataclass(frozen=True, eq=False)
class Federation:
    """Rules and sources of all clients, and who is benign."""

    config: FederationConfig
    common_rule: TokenRule  # what benign clients share
    rules: tuple[TokenRule, ...]  # K, what each client's sequences follow
    own_rules: tuple[TokenRule, ...]  # K, what each client is judged by: the benign rule with its personal changes
    sources: tuple[Source, ...]  # K
    collaborative_set: BoolArray  # (K,), True = benign
    sample_sizes: IntArray  # (K,)
    trigger: int
    target: int

    @property
    def n_clients(self) -> int:
        """K."""
        return len(self.rules)


def draw_federation(
    config: FederationConfig, vocabulary: int, truth: np.random.Generator, contamination: np.random.Generator
) -> Federation:
    """Draw rules, sources and who is contaminated.

    The benign world comes from ``truth`` alone, so that settings that differ in the contamination only share it.

    Raises
    ------
    ValueError
        More changed or personal tokens than the vocabulary has.
    """
    if max(config.changed_tokens, config.personal_tokens) > vocabulary:
        raise ValueError(
            f"changed_tokens: {config.changed_tokens} (personal_tokens: {config.personal_tokens}) exceed the "
            f"vocabulary of {vocabulary}; choose fewer"
        )
    n_clients = config.n_clients
    common = TokenRule(substitution(vocabulary, config.changed_tokens, truth))
    group = truth.choice(vocabulary, size=config.personal_tokens, replace=False)
    own = tuple(personal_variant(common, group, truth) for _ in range(n_clients))
    sources = tuple(draw_source(config.source, vocabulary, config.spread, truth) for _ in range(n_clients))
    half = math.log(config.n_sequences_spread) / 2
    sizes = config.n_sequences * np.exp(truth.uniform(-half, half, size=n_clients))
    trigger, target = (int(token) for token in truth.choice(vocabulary, size=2, replace=False))

    benign = np.ones(n_clients, dtype=np.bool_)
    benign[contamination.choice(n_clients, size=config.n_contaminated, replace=False)] = False
    wrong = TokenRule(substitution(vocabulary, config.changed_tokens, contamination))
    rules = list(own)
    for k in np.flatnonzero(~benign).tolist():
        rules[k] = _contaminated_rule(config, own[k], wrong, (trigger, target), vocabulary, contamination)
    return Federation(
        config=config,
        common_rule=common,
        rules=tuple(rules),
        own_rules=own,
        sources=sources,
        collaborative_set=benign,
        sample_sizes=np.maximum(np.round(sizes), 1).astype(np.int64),
        trigger=trigger,
        target=target,
    )


def _contaminated_rule(
    config: FederationConfig,
    own: TokenRule,
    wrong: TokenRule,
    backdoor: tuple[int, int],
    vocabulary: int,
    generator: np.random.Generator,
) -> TokenRule:
    if config.contamination == "random_mapping":
        return TokenRule(substitution(vocabulary, config.changed_tokens, generator))
    if config.contamination == "coordinated_mapping":
        return wrong
    if config.contamination == "label_noise":
        return replace(own, label_noise=1.0)
    if config.contamination == "reversed_copy":
        return TokenRule(np.arange(vocabulary, dtype=np.int64), reverse=True)
    if config.contamination == "backdoor":
        return replace(own, trigger=backdoor[0], target=backdoor[1])
    return own  # sign_flip: the data are benign, the update is not


def draw_data(federation: Federation, length: int, generator: np.random.Generator) -> ClientData:
    """Training sequences of every client; backdoor clients plant their trigger in a share of theirs."""
    largest = int(federation.sample_sizes.max())
    x = np.zeros((federation.n_clients, largest, length), dtype=np.int64)
    y = np.zeros_like(x)
    for k, (rule, source) in enumerate(zip(federation.rules, federation.sources, strict=True)):
        drawn = source.draw(largest, length, generator)
        if rule.trigger is not None:
            planted = generator.random(largest) < federation.config.trigger_share
            drawn[planted, 0] = rule.trigger
        x[k], y[k] = drawn, rule.write(drawn, generator)
    return ClientData(x, y, federation.sample_sizes)
