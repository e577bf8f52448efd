"""Verse: the language, the rules of the schools, forgeries, and style by likelihood and rule."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed; the verse tests need the extra 'llm'")

from simulations.copying.evaluate import score  # noqa: E402
from simulations.copying.federation import ClientData  # noqa: E402
from simulations.copying.pretrain import BaseModel, Pretraining, base_model  # noqa: E402
from simulations.copying.transformer import TransformerConfig, initial_parameters  # noqa: E402
from simulations.measures.ordering import probability_above  # noqa: E402
from simulations.streams import Streams  # noqa: E402
from simulations.verse import poets  # noqa: E402
from simulations.verse.language import (  # noqa: E402
    BREAK,
    END,
    N_SYLLABLES,
    RHYME,
    STRESS,
    VOCABULARY,
    chosen,
    draw_dialect,
    prose,
)
from simulations.verse.regime import VERSE_METHODS, VerseDetection, VerseMethod, VerseRegime  # noqa: E402
from simulations.verse.schools import POEM, SCHOOLS, School, kept_rules, written  # noqa: E402
from simulations.verse.style import attributed, continued, poem_losses, style_metrics  # noqa: E402

TINY = {"n_clients": 6, "share": 0.34, "n_poems": 4, "n_test": 2, "steps": 2, "batch": 2, "lora_rank": 2}
EVEN = np.ones(N_SYLLABLES)


@pytest.fixture(scope="module")
def base():
    """An untrained small reader: the mechanics do not need a good one."""
    config = TransformerConfig(vocabulary=VOCABULARY, length=POEM // 2, width=16, layers=1, heads=2, feed_forward=16)
    return BaseModel(config, initial_parameters(config, 3))


@pytest.fixture(autouse=True)
def untrained(monkeypatch, base):
    monkeypatch.setattr(poets, "reader", lambda: base)


def world(**fields):
    return VerseRegime(**{**TINY, **fields}).generate(Streams(3, "f" * 64, 0))


def test_choices_follow_their_weights_and_never_take_what_has_none():
    weights = np.tile([0.0, 1.0, 3.0, 0.0], (8000, 1))
    counts = np.bincount(chosen(weights, np.random.default_rng(1)), minlength=4)
    assert counts[0] == counts[3] == 0
    assert abs(counts[2] / 8000 - 0.75) < 4 * math.sqrt(0.75 * 0.25 / 8000)


def test_prose_is_broken_here_and_there_and_ends():
    texts = prose(300, POEM, np.random.default_rng(1))
    np.testing.assert_array_equal(texts[:, -1], END)
    broken = texts[:, :-1] == BREAK
    assert 0.1 < broken.mean() < 1 / 6  # a break follows a syllable in one of six places
    assert not (broken[:, 1:] & broken[:, :-1]).any()
    assert not broken[:, 0].any()
    np.testing.assert_array_equal(prose(5, POEM, np.random.default_rng(2)), prose(5, POEM, np.random.default_rng(2)))


@pytest.mark.parametrize("school", SCHOOLS, ids=lambda school: school.name)
def test_poems_keep_the_rules_of_their_school(school):
    poems = written(school, draw_dialect(np.random.default_rng(1)), EVEN, 40, np.random.default_rng(2))
    kept = kept_rules(school, poems, 0)
    assert kept["layout"].all()
    for name, prescribed in (("stress", school.foot), ("rhyme", school.rhymes)):
        if prescribed:
            np.testing.assert_array_equal(kept[name], 1.0)
        else:
            assert np.isnan(kept[name]).all()
    # By hand: lengths of the lines, and the first stresses of each.
    for poem in poems[:5]:
        lines = [[]]
        for token in poem[:-1].tolist():
            lines.append([]) if token == BREAK else lines[-1].append(token)
        assert tuple(map(len, lines)) == school.lines
        for line in lines:
            if school.foot:
                assert STRESS[line].tolist() == [school.foot[i % len(school.foot)] for i in range(len(line))]
        ends = {letter: {int(RHYME[line[-1]]) for line, own in zip(lines, school.rhymes, strict=True) if own == letter}
                for letter in school.rhymes}  # fmt: skip
        assert all(len(classes) == 1 for classes in ends.values())


def test_broken_rules_are_counted():
    iambic = SCHOOLS[1]
    poem = written(iambic, draw_dialect(np.random.default_rng(1)), EVEN, 1, np.random.default_rng(2))
    wrong = poem.copy()
    wrong[0, 20] = BREAK  # where the rules ask for a break already
    assert kept_rules(iambic, wrong, 18)["layout"][0] == (iambic.marks[20] == BREAK)
    wrong = poem.copy()
    wrong[0, 21] = (wrong[0, 21] + N_SYLLABLES // 2) % N_SYLLABLES  # the other stress, the same rhyme
    judged = np.sum((np.arange(POEM) >= 18) & (iambic.stresses >= 0))
    assert kept_rules(iambic, wrong, 18)["stress"][0] == pytest.approx(1 - 1 / judged)
    assert kept_rules(iambic, wrong, 22)["stress"][0] == 1.0  # what stands before is not judged
    wrong = poem.copy()
    wrong[0, -2] = (wrong[0, -2] + 3) % 15 + 15 * (wrong[0, -2] // 15)  # the last line's rhyme
    assert kept_rules(iambic, wrong, 18)["rhyme"][0] < 1.0
    assert kept_rules(iambic, poem, 18)["rhyme"][0] == 1.0
    with pytest.raises(ValueError, match="36 tokens"):
        School("short", (5, 7, 5))
    with pytest.raises(ValueError, match="one letter"):
        School("dumb", (6, 6, 6, 6, 7), rhymes="AB")


def test_preferences_and_dialect_decide_what_is_written():
    liked = np.where(np.arange(N_SYLLABLES) < 15, 9.0, 1.0)
    poems = written(SCHOOLS[0], np.ones((N_SYLLABLES, N_SYLLABLES)), liked, 200, np.random.default_rng(1))
    syllables = poems[poems < N_SYLLABLES]
    assert abs(np.mean(syllables < 15) - 0.9) < 4 * math.sqrt(0.09 / syllables.size)


def test_forgers_write_what_they_are_said_to_write():
    plain = world()
    assert plain.collaborative_set.all()
    for forgery in ("dialect", "shuffled", "pastiche"):
        forged = world(forgery=forgery)
        honest = forged.collaborative_set
        assert (~honest).sum() == 2
        kept = [
            kept_rules(SCHOOLS[poet.school], forged.tests[k], 0)["layout"].all() for k, poet in enumerate(forged.poets)
        ]
        assert all(np.array(kept)[honest])
        assert all(kept) == (forgery != "pastiche")
    shuffled = world(forgery="shuffled")
    (first, *_) = (k for k in np.flatnonzero(~shuffled.collaborative_set) if SCHOOLS[shuffled.poets[k].school].foot)
    assert kept_rules(SCHOOLS[shuffled.poets[first].school], shuffled.tests[first], 0)["stress"].mean() < 0.9


@pytest.mark.parametrize(
    ("field", "value"),
    [("forgery", "ghost"), ("share", 0.5), ("n_clients", 2), ("n_schools", 5), ("n_poems", 1), ("habit", -1.0)],
)
def test_bad_fields_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=field):
        world(**{field: value})


def test_losses_are_those_of_the_copying_case_and_ties_are_shared(base):
    drawn = world()
    losses = poem_losses(base, drawn.updates, drawn.tests.reshape(-1, POEM))
    assert losses.shape == (6, 12)
    own = ClientData(drawn.tests[..., :18], drawn.tests[..., 18:], np.full(6, 2))
    expected = score(base, drawn.updates, own, device="cpu").loss
    np.testing.assert_allclose(losses.reshape(6, 6, 2)[np.arange(6), np.arange(6)].mean(axis=1), expected, atol=1e-5)
    np.testing.assert_allclose(attributed(np.array([[1.0, 2.0], [1.0, 1.0], [3.0, 3.0]])), [[0.5, 0.5, 0], [0, 1, 0]])


def test_models_write_on_from_the_opening_by_their_own_probabilities(base):
    drawn = world()
    openings = drawn.tests[..., :18]
    poems = continued(base, drawn.updates, openings, np.random.default_rng(1))
    np.testing.assert_array_equal(poems[..., :18], openings)
    again = continued(base, drawn.updates, openings, np.random.default_rng(1))
    np.testing.assert_array_equal(poems, again)
    assert not np.array_equal(poems, continued(base, drawn.updates, openings, np.random.default_rng(2)))
    # A head that is certain of one token writes nothing else.
    sure = {"head": np.zeros((6, VOCABULARY, 16))}
    certain = BaseModel(base.config, {**base.parameters, "norm.shift": torch.full((16,), 10.0)})
    sure["head"][:, 7] = 10.0
    assert (continued(certain, sure, openings, np.random.default_rng(1))[..., 18:] == 7).all()


def test_metrics_are_shares_and_every_method_has_them():
    drawn = world(forgery="dialect")
    for name in VERSE_METHODS:
        row = VerseMethod(aggregation=name, rank=2).evaluate(drawn, np.random.default_rng(0))
        for key in ("author", "school", "layout", "stress", "forged"):
            assert 0.0 <= row[key] <= 1.0, (name, key)
        for school in {SCHOOLS[drawn.poets[k].school].name for k in np.flatnonzero(drawn.collaborative_set)}:
            assert sum(row[f"{school} as {guess.name}"] for guess in SCHOOLS) == pytest.approx(1.0)
        if name in ("base", "average"):
            assert row["author"] == pytest.approx(1 / 4)  # one model for all four honest poets
    assert VerseDetection().evaluate(drawn, np.random.default_rng(0))["majority"] in (0.0, 1.0)
    clean = style_metrics(world(), world().updates, np.random.default_rng(0))
    assert math.isnan(clean["forged"])
    with pytest.raises(ValueError, match="aggregation"):
        VerseMethod(aggregation="best")


def test_scores_above_count_ties_half():
    assert probability_above(np.array([1.0, 2.0]), np.array([1.0, 0.0])) == 0.875
    assert math.isnan(probability_above(np.zeros(0), np.ones(2)))
    assert math.isnan(probability_above(np.array([math.nan]), np.ones(2)))


def test_a_base_model_of_another_task_is_kept_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("CLAIR_STATS_CACHE", str(tmp_path))
    settings = Pretraining(
        TransformerConfig(vocabulary=6, length=3, width=8, layers=1, heads=2, feed_forward=8), steps=2
    )
    copying = base_model(settings)

    def draw(generator, n):
        x = generator.integers(6, size=(n, 3))
        return x, x[:, ::-1]

    other = base_model(settings, task="reversed", draw=draw)
    assert len(list(tmp_path.iterdir())) == 2
    assert not torch.equal(copying.parameters["head"], other.parameters["head"])
    assert torch.equal(copying.parameters["head"], base_model(settings).parameters["head"])
