"""``clair adapters`` on many large folders: time and memory of the whole command, in a process of its own.

``python -m benchmarks.adapter_folders --clients 64 --modules 128 --size 4096 --rank 16`` writes the folders in bfloat16
(4.3 GB at these sizes, deleted at the end), runs the command and prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

__all__ = ["write_client"]

_SHARED = 2  # dimension of what benign clients share
_SHARE = 0.2  # of contaminated clients, who use directions of their own
_NOISE = 0.3  # norm of an adapter's other directions over that of a shared one
_SEED = 20_261_126


def write_client(folder: Path, number: int, n_clients: int, n_modules: int, size: int, rank: int) -> None:
    """One PEFT folder in bfloat16; the first fifth of the clients is contaminated in all modules.

    Parameters
    ----------
    folder : Path
        Created.
    number : int
        Of the client, from 0.
    n_clients, n_modules, size, rank : int
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng([_SEED, number])
    tensors = []
    for module in range(n_modules):
        span = np.random.default_rng([_SEED, n_clients, module]) if number >= _SHARE * n_clients else rng
        left = _NOISE * rng.standard_normal((size, rank), dtype=np.float32)
        left[:, :_SHARED] = span.standard_normal((size, _SHARED), dtype=np.float32)
        right = rng.standard_normal((rank, size), dtype=np.float32)
        name = f"base_model.model.layers.{module}.q_proj.lora"
        tensors += [(f"{name}_A.weight", right / size**0.5), (f"{name}_B.weight", left / size**0.5)]
    header, end = {}, 0
    for name, tensor in tensors:
        header[name] = {"dtype": "BF16", "shape": tensor.shape, "data_offsets": [end, end + 2 * tensor.size]}
        end += 2 * tensor.size
    text = json.dumps(header).encode()
    with (folder / "adapter_model.safetensors").open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for _, tensor in tensors:  # bfloat16 is the upper half of a float32
            (np.ascontiguousarray(tensor).view(np.uint32) >> 16).astype("<u2").tofile(stream)
    fields = {"peft_type": "LORA", "base_model_name_or_path": "benchmark", "r": rank, "lora_alpha": rank}
    (folder / "adapter_config.json").write_text(json.dumps(fields))


def main() -> None:
    """Write, run, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("clients", 24), ("modules", 12), ("size", 384), ("rank", 8), ("jobs", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path, help="for the folders; the system's temporary one when not given")
    parser.add_argument("--refined", action="store_true", help="write refined adapters too")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        for k in range(options.clients):
            write_client(root / f"in/{k:03d}", k, options.clients, options.modules, options.size, options.rank)
        command = [sys.executable, "-c", "from clair_stats.cli import main; main()", "adapters", str(root / "in")]
        command += ["--output", str(root / "out"), "--rank", str(options.rank), "--jobs", str(options.jobs)]
        start = time.perf_counter()
        done = subprocess.run([*command, "--refined" if options.refined else "--no-refined"], check=False)
        wall = time.perf_counter() - start
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        report = json.loads((root / "out/report.json").read_text())
        flagged = sorted(client["name"] for client in report["clients"] if client["verdict"] == "flagged")
        expected = [f"{k:03d}" for k in range(options.clients) if k < _SHARE * options.clients]
        found = {
            "status": done.returncode,
            "wall_seconds": wall,
            "cpu_seconds": used.ru_utime + used.ru_stime,
            "gibibytes_peak": used.ru_maxrss / 2**20,
            "exact": flagged == expected,
        }
        print(json.dumps(found))
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
