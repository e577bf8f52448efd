"""
Adapter folders from strangers
==============================

Sixty-four people send a LoRA adapter for the same base model, each as the folder that PEFT's ``save_pretrained``
writes.  Which of them should have no part in the average, and why?  Neither PyTorch nor PEFT is needed to find out.
"""

# %%
# The folders
# -----------
#
# Here the folders are made on the spot: four modules of 96 × 64, adapters of rank 4.  Sixty clients share two
# directions in every module.  Two of the others were trained towards something else, one sends its update with the
# sign turned and five times too large, and one file was damaged on the way.

import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from safetensors.numpy import save_file

from clair_stats.adapters import aggregate_adapters

rng = np.random.default_rng(8)
modules = [f"model.layers.{layer}.self_attn.{name}" for layer in range(2) for name in ("q_proj", "v_proj")]
shared = {module: np.linalg.qr(rng.standard_normal((96, 2)))[0] for module in modules}
root = Path(tempfile.mkdtemp())
config = {
    "peft_type": "LORA",
    "base_model_name_or_path": "some/base-model",
    "r": 4,
    "lora_alpha": 8,
    "target_modules": ["q_proj", "v_proj"],
    "task_type": "CAUSAL_LM",
}


def save(name, blocks):
    """One folder; each update is cut to rank 4, and its scale is α/r = 2."""
    folder, tensors = root / "received" / name, {}
    folder.mkdir(parents=True)
    for module, block in blocks.items():
        u, d, vt = np.linalg.svd(block, full_matrices=False)
        prefix = f"base_model.model.{module}"
        tensors[f"{prefix}.lora_B.weight"] = np.ascontiguousarray(u[:, :4] * d[:4] / 2, dtype=np.float32)
        tensors[f"{prefix}.lora_A.weight"] = np.ascontiguousarray(vt[:4], dtype=np.float32)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "adapter_model.safetensors")


for k in range(64):
    own = {m: np.linalg.qr(rng.standard_normal((96, 2)))[0] if k in (11, 42) else shared[m] for m in modules}
    blocks = {m: own[m] @ rng.standard_normal((2, 64)) + 0.1 * rng.standard_normal((96, 64)) for m in modules}
    if k == 23:
        blocks = {m: -5.0 * block for m, block in blocks.items()}
    save(f"adapter{k:02d}", blocks)
damaged = root / "received" / "adapter07" / "adapter_model.safetensors"
damaged.write_bytes(damaged.read_bytes()[:-100])

# %%
# One call
# --------
#
# The command line does the same: ``clair adapters received --output out --rank 4``.

result = aggregate_adapters([root / "received"], output=root / "out", rank=4, refined=False)
print(result.report.explanation)
for row in result.report.rows[:6]:
    print(f"{row.name}  {row.verdict:12} {row.reason or '–'}")

# %%
# The folder ``out`` holds ``aggregate``, a PEFT folder with the mean of the benign adapters' products (cut to rank 4
# here: the share of its squared norm that is lost is printed), ``report.json`` and ``report.html``.

print(sorted(path.name for path in (root / "out").iterdir()))
print(f"lost by the cut to rank 4: {result.report.aggregate_energy_lost:.1%} of the squared norm")

# %%
# Why these
# ---------
#
# The score of a client says how many standard deviations its part off the shared directions lies above that of the
# benign adapters, over all modules together.

judged = [row for row in result.report.rows if row.verdict in ("benign", "flagged")]
figure, axes = plt.subplots(figsize=(7, 3))
for verdict, marker in (("benign", "o"), ("flagged", "x")):
    points = [(int(row.name[-2:]), row.score) for row in judged if row.verdict == verdict]
    axes.scatter(*zip(*points, strict=True), marker=marker, label=verdict)
axes.set(xlabel="adapter", ylabel="score", yscale="symlog")
axes.legend()
figure.tight_layout()
