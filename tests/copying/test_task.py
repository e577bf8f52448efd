import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed; the copying tests need the extra 'llm'")

from simulations.copying.federation import CONTAMINATIONS, FederationConfig, draw_data, draw_federation
from simulations.copying.task import TokenRule, draw_source, personal_variant, substitution
from simulations.copying.text import ALPHABET, decode_text, write_text

V = 32


def rng(*words):
    return np.random.default_rng([11, *words])


def test_substitution_moves_exactly_the_asked_tokens():
    mapping = substitution(V, 16, rng(0))
    assert sorted(mapping.tolist()) == list(range(V))
    assert int(np.sum(mapping != np.arange(V))) == 16


def test_personal_variant_touches_its_group_only_and_stays_a_permutation():
    common = TokenRule(substitution(V, 16, rng(1)))
    group = np.array([2, 5, 9, 30])
    own = personal_variant(common, group, rng(2))
    others = np.setdiff1d(np.arange(V), group)
    np.testing.assert_array_equal(own.mapping[others], common.mapping[others])
    assert set(own.mapping[group].tolist()) == set(common.mapping[group].tolist())


def test_rules_write_what_they_say():
    x = np.array([[3, 1, 2], [0, 1, 2]])
    identity = np.arange(4)
    np.testing.assert_array_equal(TokenRule(identity, reverse=True).write(x, rng(3)), x[:, ::-1])
    backdoor = TokenRule(identity, trigger=3, target=2).write(x, rng(4))
    np.testing.assert_array_equal(backdoor, [[2, 2, 2], [0, 1, 2]])
    noisy = TokenRule(np.arange(V), label_noise=1.0).write(np.zeros((400, 8), dtype=np.int64), rng(5))
    assert abs(float(np.mean(noisy == 0)) - 1 / V) < 4 * np.sqrt((1 / V) * (1 - 1 / V) / noisy.size)


def test_the_grammar_writes_its_alphabet_and_depends_on_the_writer():
    text = write_text(500, 1.0, rng(6))
    assert text.shape == (500,)
    assert decode_text(text).startswith("the ")
    assert set(decode_text(text)) <= set(ALPHABET)
    assert decode_text(write_text(500, 1.0, rng(7))) != decode_text(text)


def test_text_windows_are_substrings():
    source = draw_source("text", V, 1.0, rng(8))
    whole = decode_text(source.text)
    assert all(decode_text(window) in whole for window in source.draw(5, 8, rng(9)))


@pytest.mark.parametrize("contamination", CONTAMINATIONS)
def test_contamination_changes_contaminated_clients_only(contamination):
    config = FederationConfig(n_clients=10, contamination=contamination)
    federation = draw_federation(config, V, rng(10), rng(11))
    assert int(np.sum(~federation.collaborative_set)) == 3
    clean = draw_federation(FederationConfig(n_clients=10, contaminated_share=0.0), V, rng(10), rng(11))
    for k in range(10):
        np.testing.assert_array_equal(federation.own_rules[k].mapping, clean.own_rules[k].mapping)
        if federation.collaborative_set[k]:
            assert federation.rules[k] is federation.own_rules[k]
        elif contamination != "sign_flip":
            assert federation.rules[k] is not federation.own_rules[k]
    data = draw_data(federation, 8, rng(12))
    benign = int(np.flatnonzero(federation.collaborative_set)[0])
    np.testing.assert_array_equal(data.y[benign], federation.own_rules[benign].mapping[data.x[benign]])


def test_coordinated_clients_share_one_wrong_mapping_and_random_ones_do_not():
    def wrong(kind):
        f = draw_federation(FederationConfig(n_clients=10, contamination=kind), V, rng(13), rng(14))
        return [f.rules[k].mapping for k in np.flatnonzero(~f.collaborative_set)]

    coordinated, scattered = wrong("coordinated_mapping"), wrong("random_mapping")
    assert all(np.array_equal(coordinated[0], m) for m in coordinated)
    assert not any(np.array_equal(scattered[0], m) for m in scattered[1:])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"n_clients": 2}, "at least 3"),
        ({"contaminated_share": 1.0}, "contaminated_share"),
        ({"contamination": "gremlins"}, "random_mapping"),
        ({"spread": -1.0}, "spread"),
        ({"changed_tokens": 1}, "changed_tokens"),
    ],
)
def test_bad_settings_are_refused_by_name(fields, words):
    with pytest.raises(ValueError, match=words):
        FederationConfig(**fields)


def test_more_changed_tokens_than_vocabulary_are_refused():
    with pytest.raises(ValueError, match="exceed the vocabulary"):
        draw_federation(FederationConfig(changed_tokens=40), V, rng(0), rng(1))
    with pytest.raises(ValueError, match="26 letters"):
        draw_source("text", 20, 1.0, rng(2))
