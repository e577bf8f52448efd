"""The LLM case: LoRA fine-tuning of a small Transformer on text copying, by many clients, some contaminated.

The paper's own experiment (arXiv 2605.21217).  A user of CLAIR on top of it: this package may import
:mod:`clair_stats.clair` and every stage, nothing in the library imports it.  It needs PyTorch.
"""

try:
    import torch  # noqa: F401
except ImportError as error:
    raise ImportError(
        "simulations.copying needs PyTorch, which is not installed; install the extra: pip install 'clair-stats[llm]'"
    ) from error
