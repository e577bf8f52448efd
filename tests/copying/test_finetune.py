import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed; the copying tests need the extra 'llm'")

import torch

from simulations.copying.finetune import FineTuning, finetune, sequence_tokens
from simulations.copying.lora import LoRA, merged
from simulations.copying.pretrain import Pretraining, base_model, one_thread
from simulations.copying.transformer import Factors, TransformerConfig, adapted_product, forward, initial_parameters

ALL = ("query", "key", "value", "output", "up", "down", "head")


def train(world, *, batched, offsets=None, dtype=torch.float32):
    return finetune(
        world.base,
        world.data,
        world.lora,
        world.training,
        initial_right=world.initial_right,
        generator=np.random.default_rng(5),
        offsets=offsets,
        batched=batched,
        device="cpu",
        dtype=dtype,
    )


def largest_difference(first, second):
    return max(float(np.abs(first.dense()[name] - second.dense()[name]).max()) for name in first.left)


def test_batched_training_equals_client_after_client(small_world):
    with one_thread():
        fast, slow = train(small_world, batched=True), train(small_world, batched=False)
    assert min(float(np.abs(x).max()) for x in fast.dense().values()) > 1e-3  # something was learnt
    assert largest_difference(fast, slow) <= 1e-5


def test_batched_training_equals_client_after_client_on_top_of_an_earlier_round(small_world):
    offsets = small_world.first.dense()
    with one_thread():
        fast, slow = (train(small_world, batched=flag, offsets=offsets) for flag in (True, False))
    assert largest_difference(fast, slow) <= 1e-5
    assert largest_difference(fast, small_world.first) > 1e-3


def test_the_same_generator_gives_the_same_bits(small_world):
    with one_thread():
        first, second = train(small_world, batched=True), train(small_world, batched=True)
    assert largest_difference(first, second) == 0.0


def test_a_client_does_not_feel_the_others(small_world):
    """Changing one client's data changes its factors and nobody else's."""
    from dataclasses import replace

    y = small_world.data.y.copy()
    y[0] = (y[0] + 1) % small_world.base.config.vocabulary
    changed = replace(small_world, data=replace(small_world.data, y=y))
    with one_thread():
        before, after = train(small_world, batched=True), train(changed, batched=True)
    for name, x in before.dense().items():
        assert float(np.abs(x[0] - after.dense()[name][0]).max()) > 1e-4
        np.testing.assert_allclose(x[1:], after.dense()[name][1:], atol=1e-5)


def naive_logits(config, parameters, tokens):
    """One sequence at a time, position by position, weights already merged: the slow version of ``forward``."""
    d, h = config.width, config.width // config.heads
    ln = lambda name, v: torch.nn.functional.layer_norm(  # noqa: E731
        v, (d,), parameters[f"{name}.scale"], parameters[f"{name}.shift"], 1e-5
    )
    x = parameters["tokens"][tokens] + parameters["positions"]
    for layer in range(config.layers):
        n = ln(f"{layer}.norm1", x)
        q, k, v = (n @ parameters[f"{layer}.{part}"].T for part in ("query", "key", "value"))
        mixed = torch.zeros_like(x)
        for head in range(config.heads):
            part = slice(head * h, (head + 1) * h)
            for t in range(len(tokens)):
                weights = torch.softmax(k[: t + 1, part] @ q[t, part] / h**0.5, 0)
                mixed[t, part] = weights @ v[: t + 1, part]
        x = x + mixed @ parameters[f"{layer}.output"].T
        hidden = torch.nn.functional.gelu(ln(f"{layer}.norm2", x) @ parameters[f"{layer}.up"].T)
        x = x + hidden @ parameters[f"{layer}.down"].T
    return (ln("norm", x) @ parameters["head"].T)[config.length :]


def test_forward_equals_its_naive_twin_for_every_client(tiny):
    config = tiny.config
    rng = np.random.default_rng(8)
    lora = LoRA(rank=3, alpha=6.0, kinds=ALL)
    base = tiny.to(torch.device("cpu"), torch.float64)
    own, factors, whole = dict(base), {}, [dict(base) for _ in range(2)]
    for name, (rows, columns) in lora.modules(config).items():
        b, a, dense = (
            torch.as_tensor(rng.standard_normal(s)) * 0.3 for s in ((2, 3, rows), (2, 3, columns), (2, rows, columns))
        )
        # Half the modules have a weight of every client's own, half the shared one.
        own[name] = base[name] + dense if len(factors) % 2 else base[name]
        factors[name] = Factors(b, a, lora.scaling)
        for k in range(2):
            whole[k][name] = (own[name][k] if len(factors) % 2 == 0 else own[name]) + 2.0 * b[k].T @ a[k]
    x, y = (torch.as_tensor(rng.integers(config.vocabulary, size=(2, 3, config.length))) for _ in range(2))
    tokens = sequence_tokens(config, x, y)
    fast = forward(config, own, tokens, factors)
    for k in range(2):
        for i in range(3):
            torch.testing.assert_close(fast[k, i], naive_logits(config, whole[k], tokens[k, i]), rtol=1e-9, atol=1e-9)


def test_dense_updates_act_like_the_factors_they_came_from(small_world):
    world = small_world
    x, y = (torch.as_tensor(np.array(a)) for a in (world.data.x, world.data.y))
    tokens = sequence_tokens(world.base.config, x, y)
    factors = {
        name: Factors(
            torch.as_tensor(np.swapaxes(b, 1, 2).copy()), torch.as_tensor(world.first.right[name]), world.lora.scaling
        )
        for name, b in world.first.left.items()
    }
    parameters = world.base.to(torch.device("cpu"), torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(
            forward(world.base.config, parameters, tokens, factors),
            forward(world.base.config, merged(parameters, world.first.dense()), tokens),
        )


@pytest.mark.parametrize("shared", [True, False])
def test_written_out_gradients_equal_automatic_differentiation(shared):
    generator = torch.Generator().manual_seed(4)
    shapes = ((3, 5, 6), (4, 6) if shared else (3, 4, 6), (3, 2, 4), (3, 2, 6))
    x, weight, left, right = (torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes)
    slope = torch.randn((3, 5, 4), generator=generator, dtype=torch.float64)
    inputs = [tensor.requires_grad_() for tensor in (x, left, right)]
    plain = x @ (weight + 0.7 * left.mT @ right).mT
    written = adapted_product(x, weight, left, right, 0.7)
    torch.testing.assert_close(written, plain)
    for got, wanted in zip(
        torch.autograd.grad(written, inputs, slope), torch.autograd.grad(plain, inputs, slope), strict=True
    ):
        torch.testing.assert_close(got, wanted)


def test_base_model_is_cached_by_configuration(tmp_path, monkeypatch):
    monkeypatch.setenv("CLAIR_STATS_CACHE", str(tmp_path))
    config = TransformerConfig(vocabulary=6, length=2, width=8, layers=1, heads=1, feed_forward=8)
    settings = Pretraining(config, steps=5, batch=4)
    first = base_model(settings)
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == [f"copying-{settings.key}.npz"]
    stamp = files[0].stat().st_mtime_ns
    again = base_model(settings)
    assert files[0].stat().st_mtime_ns == stamp
    assert all(torch.equal(first.parameters[name], again.parameters[name]) for name in first.parameters)
    files[0].write_bytes(b"not a model")
    repaired = base_model(settings)
    assert all(torch.equal(first.parameters[name], repaired.parameters[name]) for name in first.parameters)
    assert Pretraining(config, steps=6, batch=4).key != settings.key


def test_bad_settings_are_refused_by_name():
    with pytest.raises(ValueError, match="divisor"):
        TransformerConfig(width=10, heads=4)
    with pytest.raises(ValueError, match="tail"):
        LoRA(kinds=("tail",))
    with pytest.raises(ValueError, match="learning_rate"):
        FineTuning(learning_rate=0.0)
    assert set(initial_parameters(TransformerConfig(), 0)) >= {"head", "0.up"}


@pytest.mark.slow
def test_the_base_model_copies():
    base = base_model()
    rng = np.random.default_rng(21)
    x = torch.as_tensor(rng.integers(base.config.vocabulary, size=(1, 1000, base.config.length)))
    with torch.no_grad():
        logits = forward(base.config, base.parameters, sequence_tokens(base.config, x, x))
    assert float((logits.argmax(-1) == x).double().mean()) >= 0.999


def test_gpu_gives_the_same_numbers(small_world):
    if not torch.cuda.is_available():
        pytest.skip("no GPU on this machine")
    with one_thread():
        cpu = train(small_world, batched=True, dtype=torch.float64)
    gpu = finetune(
        small_world.base,
        small_world.data,
        small_world.lora,
        small_world.training,
        initial_right=small_world.initial_right,
        generator=np.random.default_rng(5),
        device="cuda",
        dtype=torch.float64,
    )
    assert largest_difference(cpu, gpu) <= 1e-8
