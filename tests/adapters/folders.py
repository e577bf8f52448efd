"""Small PEFT-style folders, made without PEFT."""

import json

import numpy as np
from safetensors.numpy import save_file

PREFIX = "base_model.model."
MODULES = {f"model.layers.{i}.{m}": (24, 16) for i in range(2) for m in ("q_proj", "v_proj")}


def config(**changes):
    fields = {
        "peft_type": "LORA",
        "base_model_name_or_path": "tiny/llama",
        "r": 4,
        "lora_alpha": 8,
        "target_modules": ["q_proj", "v_proj"],
        "task_type": "CAUSAL_LM",
    }
    return {**fields, **changes}


def tensors(factors):
    """Module → (B, A) as the tensors of a file."""
    found = {}
    for module, (left, right) in factors.items():
        found[f"{PREFIX}{module}.lora_A.weight"] = np.ascontiguousarray(right, dtype=np.float32)
        found[f"{PREFIX}{module}.lora_B.weight"] = np.ascontiguousarray(left, dtype=np.float32)
    return found


def write(folder, arrays, fields=None):
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps(fields or config()))
    save_file(arrays, folder / "adapter_model.safetensors")
    return folder


def truncated(block, rank):
    u, d, vt = np.linalg.svd(block, full_matrices=False)
    return u[:, :rank] * d[:rank], vt[:rank]


def federation(root, *, n_clients=16, bad=(2, 7), rank=4, noise=0.1, seed=1, shapes=MODULES):
    """Clients of one shared rank 2 per module, updates cut to ``rank``; bad ones have directions of their own."""
    rng = np.random.default_rng(seed)
    shared = {module: np.linalg.qr(rng.normal(size=(p, 2)))[0] for module, (p, _) in shapes.items()}
    folders = []
    for k in range(n_clients):
        factors = {}
        for module, (p, q) in shapes.items():
            span = np.linalg.qr(rng.normal(size=(p, 2)))[0] if k in bad else shared[module]
            block = span @ rng.normal(size=(2, q)) + noise * rng.normal(size=(p, q))
            left, right = truncated(block, rank)
            factors[module] = (left / 2.0, right)  # c = α/s = 2
        folders.append(write(root / f"client{k:02d}", tensors(factors)))
    return folders
