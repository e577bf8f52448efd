"""Against PEFT itself, on small random models made on the spot; skipped where PEFT is not installed."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft", reason="PEFT is not installed; the folders are still read and written")
transformers = pytest.importorskip("transformers")

from clair_stats.adapters import read_adapter  # noqa: E402
from clair_stats.adapters.output import write_adapter  # noqa: E402
from clair_stats.adapters.results import write_aggregate  # noqa: E402


def llama():
    fields = transformers.LlamaConfig(
        vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(fields), ["q_proj", "v_proj", "down_proj"]


def gpt2():
    fields = transformers.GPT2Config(vocab_size=61, n_embd=32, n_layer=2, n_head=4, n_positions=32)
    return transformers.GPT2LMHeadModel(fields), ["c_attn", "c_proj"]


SETTINGS = [
    {"r": 1, "lora_alpha": 2},
    {"r": 8, "lora_alpha": 16, "use_rslora": True},
    {"r": 4, "lora_alpha": 4, "rank_pattern": {r"0\..*(q_proj|c_attn)": 2}, "alpha_pattern": {"(q_proj|c_attn)": 9}},
    {"r": 2, "lora_alpha": 7},
    {"r": 6, "lora_alpha": 3, "use_rslora": True, "alpha_pattern": {"v_proj": 5}},
    {"r": 3, "lora_alpha": 1},
]


def randomised(model):
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = 0.2 * torch.randn_like(parameter)


def logits(model):
    with torch.no_grad():
        return model.eval()(torch.arange(24).reshape(2, 12)).logits.double().numpy()


@pytest.fixture(params=[llama, gpt2], ids=["llama", "gpt2"])
def clients(request, tmp_path):
    """Six adapters of other ranks, scales and precisions, and the dense updates that PEFT makes of them."""
    torch.manual_seed(3)
    base, targets = request.param()
    state = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    folders, merged = [], []
    for k, settings in enumerate(SETTINGS):
        base.load_state_dict(state)
        lora = peft.LoraConfig(target_modules=targets, task_type="CAUSAL_LM", **settings)
        model = peft.get_peft_model(base, lora)
        randomised(model)
        if k == 5:
            for name, parameter in model.named_parameters():
                if "lora_" in name:
                    parameter.data = parameter.data.to(torch.bfloat16).to(parameter.dtype)
        model.save_pretrained(tmp_path / f"c{k}")
        folders.append(tmp_path / f"c{k}")
        base = model.merge_and_unload()
        merged.append({name: tensor.clone() for name, tensor in base.state_dict().items()})
    base.load_state_dict(state)
    return base, state, folders, merged, tmp_path


def reloaded(base, folder):
    """Logits with the adapter, on a copy: PEFT changes the model that it is given."""
    return logits(peft.PeftModel.from_pretrained(copy.deepcopy(base), folder))


def test_the_aggregate_is_the_dense_average(clients):
    base, state, folders, merged, tmp_path = clients
    base.load_state_dict({name: torch.stack([m[name] for m in merged]).mean(0) for name in state})
    expected = logits(base)
    base.load_state_dict(state)
    effect = np.abs(expected - logits(base)).max()
    lost = write_aggregate(tmp_path, [read_adapter(folder) for folder in folders], None)
    assert lost == 0.0
    assert effect > 1e-2
    assert np.abs(reloaded(base, tmp_path / "aggregate") - expected).max() <= 1e-5


def test_one_adapter_reproduces_itself(clients):
    base, _, folders, _, tmp_path = clients
    for k, folder in enumerate(folders):
        one = read_adapter(folder)
        products = {module: product.factors() for module, product in one.products.items()}
        write_adapter(tmp_path / f"copy{k}", one, products, {})
        own = reloaded(base, folder)
        assert np.abs(own - logits(base)).max() > 1e-2
        assert np.abs(reloaded(base, tmp_path / f"copy{k}") - own).max() <= 1e-5
