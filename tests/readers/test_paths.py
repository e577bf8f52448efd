import io
import os
import zipfile

import numpy as np
import pandas as pd
import pytest

from clair_stats import ClientEstimates, read_estimates

RNG = np.random.default_rng(9)
BLOCKS = {name: RNG.normal(size=(3, 2)) for name in ("bern", "genf", "zug")}
STACK = np.stack(list(BLOCKS.values()))


def test_every_field_of_the_record_goes_through_an_npz(tmp_path):
    rows = np.stack([np.eye(3) * (k + 1) for k in range(3)])
    columns = np.stack([np.eye(2)] * 3)
    given = {"row_covariances": rows, "column_covariances": columns, "residual_degrees_of_freedom": np.full(3, 20.0)}
    np.savez(tmp_path / "a.npz", estimates=STACK, client_names=list(BLOCKS), **given)
    record = read_estimates(tmp_path / "a.npz")
    expected = ClientEstimates(values=BLOCKS, **given)
    for field in ("values", "row_covariances", "column_covariances", "residual_degrees_of_freedom"):
        np.testing.assert_array_equal(getattr(record, field), getattr(expected, field))
    assert record.names == expected.names


@pytest.mark.parametrize(("header", "index"), [(False, False), (True, True), (True, False), (False, True)])
def test_a_folder_of_csv_files(tmp_path, header, index):
    for name, block in BLOCKS.items():
        frame = pd.DataFrame(block, index=["u", "v", "w"], columns=["a", "b"])
        if header and index and name == "zug":
            frame = frame.loc[["w", "u", "v"], ["b", "a"]]
        frame.to_csv(tmp_path / f"{name}.csv", header=header, index=index)
    record = read_estimates(tmp_path)
    assert record.names == tuple(BLOCKS)
    np.testing.assert_allclose(record.dense(), STACK)


def long_table():
    return pd.DataFrame(
        [(n, f"r{i}", f"c{j}", b[i, j]) for n, b in BLOCKS.items() for i in range(3) for j in range(2)],
        columns=["client", "row", "column", "value"],
    )


def test_a_long_table_in_any_order(tmp_path):
    shuffled = long_table().sample(frac=1.0, random_state=3)
    order = pd.concat([long_table().iloc[:6], shuffled]).drop_duplicates()
    order.to_csv(tmp_path / "long.csv", index=False)
    record = read_estimates(tmp_path / "long.csv")
    expected = [BLOCKS[name] for name in record.names]
    np.testing.assert_allclose(record.dense(), expected)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.drop(index=7), "genf has no row r0, column c1"),
        (lambda t: pd.concat([t, t.iloc[[3]]]), "bern has row r1, column c1 twice"),
        (lambda t: t.rename(columns={"value": "x"}), "a long table has client, row, column, value"),
        (lambda t: t.astype(object).assign(value=["much", *t["value"][1:]]), "'much'"),
        (lambda t: t.assign(value=[np.nan, *t["value"][1:]]), "''|NaN"),
    ],
)
def test_long_tables_that_are_refused(tmp_path, change, match):
    change(long_table()).to_csv(tmp_path / "long.csv", index=False)
    with pytest.raises(ValueError, match=match) as caught:
        read_estimates(tmp_path / "long.csv")
    assert "allow_pickle" not in str(caught.value)


def test_folders_that_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no \.csv file in this folder"):
        read_estimates(tmp_path)
    (tmp_path / "a.csv").write_text("1,2\n3,x4\n")
    with pytest.raises(ValueError, match="'x4'"):
        read_estimates(tmp_path)
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(ValueError, match=r"a\.csv: not a readable"):
        read_estimates(tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(ValueError, match="not a regular file"):
        read_estimates(tmp_path / "pipe.npz")


def npy(header, body=b""):
    text = header.encode() + b" " * (118 - len(header)) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


@pytest.mark.parametrize(
    ("member", "match"),
    [
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 100000, 100000), }"), "promises"),
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2, 2"), "not a readable"),
        (b"no magic at all", "not a readable"),
        (b"\0" * (1 << 25), "times its size"),
    ],
)
def test_hostile_archives_are_refused_before_they_are_unpacked(tmp_path, member, match):
    path = tmp_path / "hostile.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("estimates.npy", member)
    with pytest.raises(ValueError, match=match) as caught:
        read_estimates(path)
    assert str(caught.value).startswith(str(path))
    assert "allow_pickle" not in str(caught.value)


def outcome(path):
    """The refusal, or the numbers."""
    try:
        return "", read_estimates(path).dense()
    except ValueError as error:
        return str(error), None


def test_every_broken_byte_is_refused_or_harmless(tmp_path):
    """Flip each of 200 bytes spread over the file: a clear refusal or the same numbers."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, estimates=STACK)
    content = buffer.getvalue()
    path = tmp_path / "flipped.npz"
    refused = 0
    for at in np.linspace(0, len(content) - 1, 200).astype(int):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :])
        message, numbers = outcome(path)
        assert message.startswith(str(path)) if numbers is None else np.array_equal(numbers, STACK)
        refused += numbers is None
    assert refused > 100
