import pytest

# A plain reason, not an import error: PyTorch is an extra of the package.
torch = pytest.importorskip("torch", reason="PyTorch is not installed; the copying tests need the extra 'llm'")


@pytest.fixture(scope="session")
def tiny():
    """An untrained small base model: the mechanics do not need a good one."""
    from simulations.copying.pretrain import BaseModel
    from simulations.copying.transformer import TransformerConfig, initial_parameters

    config = TransformerConfig(vocabulary=28, length=4, width=16, layers=2, heads=2, feed_forward=32)
    return BaseModel(config, initial_parameters(config, 3))


@pytest.fixture(scope="session")
def small_world(tiny):
    """Twelve clients, four contaminated, few steps."""
    return make_world(tiny)


def make_world(base, **fields):
    import numpy as np

    from simulations.copying.federated import draw_world
    from simulations.copying.federation import FederationConfig
    from simulations.copying.finetune import FineTuning
    from simulations.copying.lora import LoRA

    config = FederationConfig(n_clients=12, contaminated_share=1 / 3, n_sequences=6, n_sequences_spread=2.0, **fields)
    streams = {
        role: np.random.default_rng([7, i])
        for i, role in enumerate(("truth", "contamination", "data", "tests", "training_generator"))
    }
    return draw_world(
        base, config, LoRA(rank=2, alpha=4.0), FineTuning(steps=12, batch=3), n_own=8, n_common=8, **streams
    )
