"""Seconds from the start of a process to the first verdict, from every format a newcomer brings.

``python -m benchmarks.first_verdict`` writes 30 clients (24 of which share two directions) as a folder of CSV files, as
data frames, as statsmodels results and as LoRA adapter folders, and runs each way in fresh processes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from clair_stats.records import FloatArray

__all__ = ["main"]

_CLAIR = "import sys; from clair_stats.cli import main; sys.argv[0] = 'clair'; main()"
_FRAMES = """
import sys
from pathlib import Path
import pandas as pd
from clair_stats import CLAIR
frames = {path.stem: pd.read_csv(path, index_col=0) for path in sorted(Path(sys.argv[1]).iterdir())}
print(CLAIR().fit(frames).flagged_.sum())
"""
_STATSMODELS = """
import numpy as np, statsmodels.api as sm
from clair_stats import CLAIR, from_statsmodels
rng = np.random.default_rng(7)
truth = rng.normal(size=12)
fits = {}
for k in range(30):
    x = rng.normal(size=(200, 12))
    fits[f"client {k}"] = sm.OLS(x @ (truth + (k < 6) * rng.normal(size=12)) + rng.normal(size=200), x).fit()
print(CLAIR().fit(from_statsmodels(fits)).flagged_.sum())
"""


def _blocks() -> FloatArray:
    """Estimates (30, 20, 10), the first six contaminated."""
    rng = np.random.default_rng(7)
    shared = np.linalg.qr(rng.standard_normal((20, 2)))[0]
    blocks = shared @ rng.standard_normal((30, 2, 10)) + 0.1 * rng.standard_normal((30, 20, 10))
    blocks[:6] += rng.standard_normal((6, 20, 10))
    return np.asarray(blocks)


def _write(folder: Path) -> None:
    """CSV files with labels, and adapter folders of rank 4 on two modules."""
    from safetensors.numpy import save_file

    rng = np.random.default_rng(8)
    config = {"peft_type": "LORA", "base_model_name_or_path": "some/base", "r": 4, "lora_alpha": 4}
    config |= {"target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}
    modules = [f"model.layers.0.self_attn.{name}" for name in ("q_proj", "v_proj")]
    shared = {module: np.linalg.qr(rng.standard_normal((96, 2)))[0] for module in modules}
    (folder / "csv").mkdir()
    for k, block in enumerate(_blocks()):
        lines = [",".join(["", *(f"y{j}" for j in range(10))])]
        lines += [",".join([f"x{i}", *map(repr, map(float, row))]) for i, row in enumerate(block)]
        (folder / "csv" / f"client{k:02}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        tensors = {}
        for module in modules:
            frame = np.linalg.qr(rng.standard_normal((96, 2)))[0] if k < 6 else shared[module]
            update = frame @ rng.standard_normal((2, 64)) + 0.1 * rng.standard_normal((96, 64))
            u, d, vt = np.linalg.svd(update, full_matrices=False)
            name = f"base_model.model.{module}"
            tensors[f"{name}.lora_B.weight"] = np.ascontiguousarray(u[:, :4] * d[:4], dtype=np.float32)
            tensors[f"{name}.lora_A.weight"] = np.ascontiguousarray(vt[:4], dtype=np.float32)
        own = folder / "adapters" / f"client{k:02}"
        own.mkdir(parents=True)
        (own / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
        save_file(tensors, own / "adapter_model.safetensors")


def _run(words: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of ``python -c``; an exit status above 3 is an error."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", *words], capture_output=True, text=True, env=os.environ, check=False)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 3):
        raise RuntimeError(done.stderr)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print a table: median wall and processor seconds of the runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="processes per way")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _write(folder)
        ways = {
            "clair --help": [_CLAIR, "--help"],
            "a folder of CSV files": [_CLAIR, "inspect", str(folder / "csv")],
            "data frames": [_FRAMES, str(folder / "csv")],
            "statsmodels, 30 fits included": [_STATSMODELS],
        }
        print("| way | wall seconds | processor seconds |\n|---|---|---|")
        for name, words in ways.items():
            _report(name, [_run(words) for _ in range(runs)])
        adapters = [_CLAIR, "adapters", str(folder / "adapters"), "--output"]
        _report("LoRA adapter folders", [_run([*adapters, str(folder / f"out{k}")]) for k in range(runs)])


def _report(name: str, times: list[tuple[float, float]]) -> None:
    wall, processor = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"| {name} | {wall:.2f} | {processor:.2f} |", flush=True)


if __name__ == "__main__":
    main()
