import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from clair_stats.adapters import tensors as tensors_module
from clair_stats.adapters.refusal import AdapterRefused
from clair_stats.adapters.tensors import StoredTensor, read_header, write_tensors

RNG = np.random.default_rng(2)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_numbers_are_those_of_the_library(tmp_path, dtype):
    arrays = {"a": RNG.normal(size=(5, 3)).astype(dtype), "b": RNG.normal(size=7).astype(dtype)}
    save_file(arrays, tmp_path / "f.safetensors")
    header = read_header(tmp_path / "f.safetensors")
    for name, array in arrays.items():
        np.testing.assert_array_equal(header[name].read(), array.astype(np.float64))
    assert header["a"].largest() == np.abs(arrays["a"]).max()


def test_bfloat16_is_the_upper_half_of_float32(tmp_path):
    torch = pytest.importorskip("torch")
    save = pytest.importorskip("safetensors.torch").save_file
    exact = torch.randn(6, 4).to(torch.bfloat16)
    save({"a": exact}, tmp_path / "f.safetensors")
    found = read_header(tmp_path / "f.safetensors")["a"].read()
    np.testing.assert_array_equal(found, exact.double().numpy())


@pytest.mark.parametrize("layout", [lambda a: a.T, lambda a: a[::2, 1:], np.asfortranarray])
def test_arrays_that_are_not_contiguous_are_written_as_meant(tmp_path, layout):
    array = layout(np.arange(48.0).reshape(8, 6))
    write_tensors(tmp_path / "f.safetensors", {"a": array})
    np.testing.assert_array_equal(read_header(tmp_path / "f.safetensors")["a"].read(), array)


def test_what_float32_cannot_hold_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not finite in float32"):
        write_tensors(tmp_path / "f.safetensors", {"a": np.full((2, 2), 1e200)})


def file_with(path, header, data=b""):
    text = header if isinstance(header, bytes) else header.encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


@pytest.mark.parametrize(
    ("header", "data", "match"),
    [
        ('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', b"\0" * 4, "not a whole safetensors"),
        ('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}', b"\0" * 8, "not a whole safetensors"),
        ('{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}', b"\0" * 8, "holds I64"),
        ('{"a":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]}}', b"", "no entries"),
        (
            '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
            b"\0" * 4,
            "twice",
        ),
        (b"\x80\x02}q\x00.", b"", "not a whole safetensors"),
    ],
)
def test_damaged_files_are_refused(tmp_path, header, data, match):
    with pytest.raises(AdapterRefused, match=match):
        read_header(file_with(tmp_path / "f.safetensors", header, data))


def test_a_header_that_claims_gigabytes_is_not_read(tmp_path):
    path = tmp_path / "f.safetensors"
    path.write_bytes((10**12).to_bytes(8, "little") + b"{}")
    with pytest.raises(AdapterRefused, match="claims 1000000000000 bytes"):
        read_header(path)


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    save_file({"a": np.array([1.0, np.nan, np.inf], dtype=np.float32)}, tmp_path / "f.safetensors")
    stored = read_header(tmp_path / "f.safetensors")["a"]
    for look in (StoredTensor.read, StoredTensor.largest):
        with pytest.raises(AdapterRefused, match="tensor a has 2 entries that are NaN"):
            look(stored)


def test_the_library_reads_what_was_written_one_tensor_at_a_time(tmp_path):
    arrays = {"b": RNG.normal(size=(5, 3)), "a": RNG.normal(size=7), "é": RNG.normal(size=(1, 1))}
    write_tensors(tmp_path / "f.safetensors", arrays)
    found = load_file(tmp_path / "f.safetensors")
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array.astype(np.float32))


def test_a_disk_that_loses_bytes_is_noticed(tmp_path, monkeypatch):
    def spoilt(path):
        header = read_header(path)
        raw = bytearray(path.read_bytes())
        raw[-1] ^= 1
        path.write_bytes(bytes(raw))
        return header

    monkeypatch.setattr(tensors_module, "read_header", spoilt)
    with pytest.raises(ValueError, match="was not written as it was meant"):
        write_tensors(tmp_path / "f.safetensors", {"a": RNG.normal(size=(5, 3))})
