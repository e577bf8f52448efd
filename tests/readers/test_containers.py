import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from clair_stats import CLAIR, ClientEstimates

RNG = np.random.default_rng(5)
BLOCKS = {f"site {k}": RNG.normal(size=(4, 3)) for k in range(5)}
ROWS, COLUMNS = ["age", "sex", "dose", "time"], ["a", "b", "c"]


def frames():
    return {name: pd.DataFrame(block, index=ROWS, columns=COLUMNS) for name, block in BLOCKS.items()}


def test_a_mapping_names_its_clients():
    record = ClientEstimates(values=BLOCKS)
    assert record.names == tuple(BLOCKS)
    np.testing.assert_array_equal(record.dense(), np.stack(list(BLOCKS.values())))


def test_data_frames_are_aligned_by_their_labels():
    shuffled = frames()
    shuffled["site 3"] = shuffled["site 3"].iloc[::-1, [2, 0, 1]]
    np.testing.assert_array_equal(ClientEstimates(values=shuffled).dense(), np.stack(list(BLOCKS.values())))
    in_a_list = ClientEstimates(values=list(shuffled.values()))
    np.testing.assert_array_equal(in_a_list.dense(), np.stack(list(BLOCKS.values())))


def test_series_become_columns():
    series = {name: pd.Series(block[:, 0], index=ROWS) for name, block in BLOCKS.items()}
    assert ClientEstimates(values=series).block_shape == (4, 1)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda f: f | {"site 2": f["site 2"].rename(index={"dose": "Dose"})}, "site 2: its rows.*dose.*Dose"),
        (lambda f: f | {"site 2": f["site 2"].drop(columns="b")}, "site 2: its columns.*missing: b"),
        (lambda f: f | {"site 1": f["site 1"].rename(columns={"b": "a"})}, "site 1: two columns are called 'a'"),
    ],
)
def test_labels_that_differ_are_refused(change, match):
    with pytest.raises(ValueError, match=match):
        ClientEstimates(values=change(frames()))


def test_one_frame_is_not_a_federation():
    with pytest.raises(TypeError, match="mapping client name"):
        ClientEstimates(values=frames()["site 0"])


def test_sparse_matrices_are_refused_by_name():
    sparse = scipy.sparse.csr_array(BLOCKS["site 1"])
    with pytest.raises(TypeError, match=r"site 1: sparse input is not supported.*toarray"):
        ClientEstimates(values=BLOCKS | {"site 1": sparse})
    for kind in (scipy.sparse.csr_array, scipy.sparse.dok_array):  # the second one is a mapping
        with pytest.raises(TypeError, match="values: sparse"):
            CLAIR().fit(kind(BLOCKS["site 1"]))


def test_masked_entries_are_not_silently_unmasked():
    masked = np.ma.masked_array(BLOCKS["site 0"], mask=np.eye(4, 3, dtype=bool))
    with pytest.raises(ValueError, match="site 0: a masked array"):
        ClientEstimates(values=BLOCKS | {"site 0": masked})
    with pytest.raises(ValueError, match="values: a masked array"):
        ClientEstimates(values=np.ma.masked_invalid(np.full((3, 2, 2), np.nan)))


def test_tensors_are_detached_and_widened():
    torch = pytest.importorskip("torch")
    tensors = [torch.tensor(block, requires_grad=True) for block in BLOCKS.values()]
    np.testing.assert_array_equal(ClientEstimates(values=tensors).dense(), np.stack(list(BLOCKS.values())))
    half = torch.tensor(np.stack(list(BLOCKS.values())), dtype=torch.bfloat16)
    np.testing.assert_allclose(ClientEstimates(values=half).dense(), np.stack(list(BLOCKS.values())), rtol=2**-7)
    pairs = [(torch.ones(4, 1, requires_grad=True), torch.ones(1, 3)) for _ in range(3)]
    assert ClientEstimates(factors=pairs).block_shape == (4, 3)


def test_factors_are_copied():
    left, right = np.ones((4, 1)), np.ones((1, 3))
    record = ClientEstimates(factors=[(left, right)] * 3)
    left[:] = 7.0
    assert record.factors[0][0].max() == 1.0


def test_the_model_takes_a_mapping_of_frames():
    basis = np.linalg.qr(RNG.normal(size=(4, 1)))[0]
    many = {f"s{k}": pd.DataFrame(basis @ RNG.normal(size=(1, 3)), index=ROWS, columns=COLUMNS) for k in range(9)}
    many["s0"] = many["s0"] + RNG.normal(size=(4, 3))
    model = CLAIR(rank=1).fit(many)
    assert model.client_names_ == tuple(many)
    assert [name for name, good in zip(many, model.collaborative_set_, strict=True) if not good] == ["s0"]
