"""The program as a source of candidates: what it proposes, who decides, what is reported."""

import numpy as np
import pytest

from clair_stats import CLAIR
from clair_stats.detection.decide import decide
from clair_stats.detection.panel import make_panel
from clair_stats.detection.step_2_candidates import program, program_starts, proposer_of, search
from simulations.design import content_hash
from simulations.streams import Streams
from simulations.studies.adapters import adapter_regime
from tests.decomposition.named_problems import instance


def _panel(**options):
    return make_panel(instance(24, 10, 30, 2, noise=0.2, **options))


@pytest.mark.parametrize(("kind", "share"), [("scattered", 0.3), ("identical", 0.3), ("flip", 0.3), ("rank_one", 0.2)])
def test_the_program_alone_finds_what_the_search_finds(kind, share):
    panel = _panel(seed=1, kind=kind, share=share)
    by_program = decide(panel, rank=None, level=0.05, propose=program)
    by_search = decide(panel, rank=None, level=0.05, propose=search)
    assert by_program.accepted
    assert by_program.source == "program"
    np.testing.assert_array_equal(by_program.collaborative_set, by_search.collaborative_set)
    np.testing.assert_array_equal(~by_program.collaborative_set, np.arange(30) < round(30 * share))


def test_candidates_come_by_rank_and_a_given_rank_is_the_only_one():
    panel = _panel(seed=2, share=0.3)
    groups = list(program(panel))
    ranks = [group[0].rank for group in groups]
    assert ranks == sorted(set(ranks))
    assert all(candidate.rank == group[0].rank for group in groups for candidate in group)
    (at_two,) = program(panel, rank=2)
    assert {candidate.rank for candidate in at_two} == {2}
    assert {candidate.source for group in groups for candidate in group} == {"program"}


def test_proposals_are_computed_once_and_weighted_by_noise():
    scales = np.linspace(0.1, 0.4, 30)
    blocks = instance(24, 10, 30, 2, seed=3, share=0.3)
    rng = np.random.default_rng(3)
    panel = make_panel(blocks + scales[:, None, None] * rng.standard_normal(blocks.shape), noise_scales=scales)
    found = panel.proposals
    assert panel.proposals is found
    np.testing.assert_allclose(found[0].client_weights * scales, scales.min())
    assert program_starts(panel).shape == (len(found), 30)


def test_the_search_follows_where_the_program_proposes_nothing_that_is_accepted():
    """Without proposals the default verdict is the search's, and says so."""
    panel = _panel(seed=4, share=0.3)
    panel.__dict__["proposals"] = ()
    assert proposer_of(panel, np.ones(30, dtype=bool), 2) is None
    alone = decide(panel, rank=None, level=0.05, propose=program)
    assert not alone.accepted
    both = decide(panel, rank=None, level=0.05)
    assert both.accepted
    assert both.source == "search"
    np.testing.assert_array_equal(~both.collaborative_set, np.arange(30) < 9)


def test_the_proposer_is_the_point_of_the_accepted_rank_with_the_most_similar_set():
    panel = _panel(seed=5, share=0.3)
    benign = np.arange(30) >= 9
    found = proposer_of(panel, benign, 2)
    assert found.rank == 2
    ranks = {proposal.rank for proposal in panel.proposals}
    assert 0 in ranks
    same_rank = [proposal for proposal in panel.proposals if proposal.rank == 2]

    def jaccard(proposal):
        return (proposal.members & benign).sum() / (proposal.members | benign).sum()

    assert jaccard(found) == max(map(jaccard, same_rank))


def test_low_rank_errors_are_decided_from_the_programs_halves():
    """Where errors are not white the program's sets are the starts of the halves, and the summary's source."""
    regime = adapter_regime(ranks=(8,), n_clients=24, share=0.35, noise=0.2, kind="coordinated")
    drawn = regime.generate(Streams(4, content_hash(regime), 0))
    model = CLAIR(detection="program").fit(drawn.estimates)
    assert model.consensus_.law == "log scores"
    assert model.consensus_.source == "program"
    np.testing.assert_array_equal(model.collaborative_set_, drawn.collaborative_set)
