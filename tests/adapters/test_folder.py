import json
import os
import time

import numpy as np
import pytest

from clair_stats.adapters import AdapterRefused, read_adapter
from tests.adapters.folders import PREFIX, config, tensors, write

RNG = np.random.default_rng(4)
FACTORS = {"layers.0.q_proj": (RNG.normal(size=(6, 4)), RNG.normal(size=(4, 5)))}


def scale(tmp_path, fields, rank=4, module="layers.0.q_proj"):
    pair = (np.ones((6, rank)), np.ones((rank, 5)))
    return read_adapter(write(tmp_path / "one", tensors({module: pair}), fields)).products[module].scale


def test_scales_follow_peft(tmp_path):
    assert scale(tmp_path / "a", config()) == 2.0
    assert scale(tmp_path / "b", config(use_rslora=True)) == 4.0
    assert scale(tmp_path / "c", config(rank_pattern={"q_proj": 3}), rank=3) == pytest.approx(8 / 3)
    assert scale(tmp_path / "d", config(alpha_pattern={"v_proj": 1, r"layers\.\d+\.q_proj": 6})) == 1.5
    assert scale(tmp_path / "e", config(alpha_pattern={"proj": 6})) == 2.0  # a pattern matches whole parts of a name


def test_products_are_scaled_and_embeddings_turned(tmp_path):
    arrays = tensors(FACTORS)
    first, second = RNG.normal(size=(4, 11)).astype(np.float32), RNG.normal(size=(7, 4)).astype(np.float32)
    arrays[f"{PREFIX}embed.lora_embedding_A"], arrays[f"{PREFIX}embed.lora_embedding_B"] = first, second
    arrays[f"{PREFIX}score.weight"] = np.ones((2, 5), dtype=np.float32)
    arrays[f"{PREFIX}embed.base_layer.weight"] = np.ones((11, 7), dtype=np.float32)
    found = read_adapter(write(tmp_path / "one", arrays))
    left, right = found.products["layers.0.q_proj"].factors()
    b, a = FACTORS["layers.0.q_proj"]
    np.testing.assert_allclose(left @ right, 2.0 * b @ a, rtol=1e-6)
    left, right = found.products["embed"].factors()
    np.testing.assert_allclose(left @ right, 2.0 * second @ first, rtol=1e-5)
    assert found.products["embed"].embedding
    assert list(found.dense) == ["score.weight"]
    assert list(found.base) == ["embed"]


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        (config(peft_type="IA3"), "only LORA"),
        (config(use_dora=True), "DoRA"),
        (config(init_lora_weights="pissa_niter_16"), "changes the base model"),
        (config(init_lora_weights="olora"), "changes the base model"),
        (config(lora_bias=True), "lora_bias"),
        (config(layer_replication=[[0, 2]]), "layer_replication"),
        (config(target_parameters=["experts"]), "experts"),
        (config(r=0), "r is 0"),
        (config(r=True), "r is True"),
        (config(lora_alpha="much"), "lora_alpha"),
        (config(r=5), "has rank 4, but its configuration says 5"),
        (config(rank_pattern={"(": 2}), "RE2 refuses"),
        (config(rank_pattern={"(?=x)y": 2}), "RE2 refuses"),
        (config(rank_pattern=[1]), "no mapping"),
    ],
)
def test_other_kinds_and_bad_fields_are_refused_by_name(tmp_path, fields, match):
    with pytest.raises(AdapterRefused, match=match):
        read_adapter(write(tmp_path / "one", tensors(FACTORS), fields))


def test_an_infinite_alpha_is_refused(tmp_path):
    folder = write(tmp_path / "one", tensors(FACTORS))
    (folder / "adapter_config.json").write_text(json.dumps(config()).replace('"lora_alpha": 8', '"lora_alpha": 1e999'))
    with pytest.raises(AdapterRefused, match="lora_alpha"):
        read_adapter(folder)


def test_a_hostile_pattern_takes_no_time(tmp_path):
    name = "a" * 40 + ".q_proj"
    fields = config(alpha_pattern={r"((\w|\.)+)+Z": 3.0})
    start = time.perf_counter()
    assert scale(tmp_path, fields, module=name) == 2.0
    assert time.perf_counter() - start < 5.0  # a backtracking engine needs 2**40 steps


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"layers.0.q_proj.lora_magnitude_vector": np.ones(6)}, "DoRA"),
        ({"layers.0.q_proj.lora_B.bias": np.ones(6)}, "lora_bias=False"),
        ({"layers.0.k_proj.lora_A.weight": np.ones((4, 5))}, "factor A and no B"),
        ({"layers.0.k_proj.lora_B.weight": np.ones((5, 4))}, "factor B and no A"),
        ({"layers.0.k_proj.ia3_l": np.ones((5, 1))}, "IA3"),
        ({"layers.0.q_proj.lora_A.default.weight": np.ones((4, 5))}, "stands twice"),
        (
            {"conv.lora_A.weight": np.ones((4, 3, 3, 3)), "conv.lora_B.weight": np.ones((6, 4, 1, 1))},
            "convolution",
        ),
        (
            {"layers.0.k_proj.lora_A.weight": np.ones((3, 5)), "layers.0.k_proj.lora_B.weight": np.ones((5, 4))},
            "do not fit",
        ),
        ({"layers.0.k_proj.bias": np.array([1.0, np.nan])}, "NaN"),
    ],
)
def test_tensors_that_cannot_be_averaged_are_refused_by_name(tmp_path, change, match):
    more = {f"{PREFIX}{name}": array.astype(np.float32) for name, array in change.items()}
    with pytest.raises(AdapterRefused, match=match):
        read_adapter(write(tmp_path / "one", {**tensors(FACTORS), **more}))


def test_names_that_peft_would_drop_are_refused(tmp_path):
    with pytest.raises(AdapterRefused, match="PEFT would drop it"):
        read_adapter(write(tmp_path / "one", {"layers.0.lora_A.weight": np.ones((4, 5), dtype=np.float32)}))


def test_an_adapter_that_was_never_trained_is_refused(tmp_path):
    b, a = FACTORS["layers.0.q_proj"]
    with pytest.raises(AdapterRefused, match="all its products are zero"):
        read_adapter(write(tmp_path / "one", tensors({"layers.0.q_proj": (0 * b, a)})))


def test_a_pickle_is_refused(tmp_path):
    folder = write(tmp_path / "one", tensors(FACTORS))
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(AdapterRefused, match="pickle"):
        read_adapter(folder)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_links_pipes_and_folders_are_no_files(tmp_path, name, kind):
    folder = write(tmp_path / "one", tensors(FACTORS))
    moved = (folder / name).rename(tmp_path / name)
    if kind == "link":
        (folder / name).symlink_to(moved)
    elif kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).mkdir()
    with pytest.raises(AdapterRefused, match="symbolic link" if kind == "link" else "no regular file"):
        read_adapter(folder)


def damaged(rng, config_bytes, tensor_bytes):
    """One of the two files with bytes flipped, cut, repeated or replaced by noise."""
    which = rng.integers(2)
    content = bytearray((config_bytes, tensor_bytes)[which])
    for _ in range(rng.integers(1, 4)):
        kind, at = rng.integers(5), int(rng.integers(max(len(content), 1)))
        if kind == 0 and content:
            content[at] ^= int(rng.integers(1, 256))
        elif kind == 1:
            del content[at:]
        elif kind == 2:
            content[at:at] = rng.bytes(int(rng.integers(1, 20)))
        elif kind == 3:
            del content[at : at + int(rng.integers(1, 20))]
        else:
            content[at : at + 8] = rng.bytes(8)
    return (bytes(content), tensor_bytes) if which == 0 else (config_bytes, bytes(content))


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_damaged_folders_are_refused_or_read(tmp_path, count):
    """Whatever happens to the two files: a refusal, or an adapter of finite numbers; nothing else, and quickly."""
    folder = write(tmp_path / "one", tensors(FACTORS))
    files = [folder / "adapter_config.json", folder / "adapter_model.safetensors"]
    original = [file.read_bytes() for file in files]
    rng = np.random.default_rng(77)
    refused, slowest = 0, 0.0
    for _ in range(count):
        for file, content in zip(files, damaged(rng, *original), strict=True):
            file.write_bytes(content)
        start = time.perf_counter()
        try:
            products = read_adapter(folder).products.values()
            assert all(np.isfinite(factor).all() for product in products for factor in product.factors())
        except AdapterRefused:
            refused += 1
        slowest = max(slowest, time.perf_counter() - start)
    assert refused > count / 2
    assert slowest < 30.0  # a hang, on however busy a machine; 0.02 s is usual
