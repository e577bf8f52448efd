import numpy as np
import pytest

from clair_stats import Ball, Exact, Noisy, decompose, decompose_factors, decompose_modules
from clair_stats.estimates import ClientEstimates
from tests.decomposition.named_problems import instance

SAME = [(Exact(), {}), (Ball(0.3), {"noise_radius": 0.3}), (Noisy(0.05), {"noise_penalty": 0.05})]


@pytest.mark.parametrize(("program", "numbers"), SAME, ids=["E", "B", "N"])
def test_an_object_and_its_numbers_name_the_same_program(program, numbers):
    blocks = instance(6, 4, 8, 1, seed=3, noise=0.1)
    by_object = decompose(blocks, program=program, block_penalty=0.7)
    by_number = decompose(blocks, block_penalty=0.7, **numbers)
    assert by_object.program == program.letter == by_number.program
    assert by_object.objective == by_number.objective
    np.testing.assert_array_equal(by_object.low_rank, by_number.low_rank)
    joint = decompose_modules([blocks, blocks], program=program, block_penalty=1.1)
    assert joint.objective == decompose_modules([blocks, blocks], block_penalty=1.1, **numbers).objective


def test_the_three_programs_differ():
    blocks = instance(6, 4, 8, 1, seed=3, noise=0.1)
    objectives = {decompose(blocks, program=program, block_penalty=0.7).objective for program, _ in SAME}
    assert len(objectives) == 3


def test_factors_take_programs_too():
    rng = np.random.default_rng(4)
    factors = [(rng.normal(size=(9, 2)), rng.normal(size=(2, 7))) for _ in range(6)]
    record = ClientEstimates(factors=factors)
    core = decompose_factors(record, program=Noisy(0.2), block_penalty=0.8).core
    assert core.program == "N"
    assert core.noise_penalty == 0.2


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: Ball(-1.0), "noise_radius: -1.0"),
        (lambda: Noisy(0.0), r"noise_penalty: 0\.0.*Exact"),
        (lambda: Noisy(float("nan")), "noise_penalty: nan"),
        (lambda: decompose(np.ones((3, 2, 2)), program=Exact(), noise_penalty=0.1), "give the program alone"),
        (lambda: decompose(np.ones((3, 2, 2)), program=Ball(0.1), noise_radius=0.1), "give the program alone"),
    ],
)
def test_a_program_out_of_range_or_named_twice_is_refused(build, match):
    with pytest.raises(ValueError, match=match):
        build()


def test_a_word_is_no_program():
    with pytest.raises(TypeError, match="'E'; give Exact"):
        decompose(np.ones((3, 2, 2)), program="E")
