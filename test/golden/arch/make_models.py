"""Make tiny models of every architecture, with random weights, and what transformers computes with them.

    python test/golden/arch/make_models.py [name …]      (needs torch and transformers; CPU, a minute)

One folder each: config.json as such models have it on the Hub, config.saved.json as transformers 5 writes it,
model.safetensors in bfloat16, and in float32
from those weights `golden.json` (prompts, 32 greedy tokens each) and `logits.f32` (after each prompt,
[prompts, vocab]). Every model says what must matter in it (`without`): with each of those taken away the logits must
differ clearly, or the fixture would prove nothing. A prompt whose greedy path comes near a tie is drawn anew.
"""

import copy
import json
import math
import pathlib
import shutil
import sys

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

HERE = pathlib.Path(__file__).resolve().parent
STEPS, LEAST_GAP, CLEARLY = 32, 1e-2, 5e-2
LENGTHS = [3, 29, 90]
LONG = {"mistral-long": [70, 300, 900]}  # beyond the tiles that the attention kernel works in

BASE = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "vocab_size": 128, "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
    "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": False, "torch_dtype": "bfloat16", "use_cache": True,
    "initializer_range": 0.02, "attention_dropout": 0.0,
}
WIDE = {"head_dim": 16}  # heads of 16 where hidden / heads is 8


def model(model_type, class_name, without, drop=(), **own):
    config = {**BASE, "architectures": [class_name], "model_type": model_type, **own}
    for field in drop:
        del config[field]
    return {"config": config, "without": without}


def llama(without, **own):
    return model("llama", "LlamaForCausalLM", without, **WIDE, **own)


def phi3(without, **own):
    return model("phi3", "Phi3ForCausalLM", without, pad_token_id=0, **{
        "hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1, "num_hidden_layers": 2, **own})


GEMMA = {"hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh", "head_dim": 16, "query_pre_attn_scalar": 24,
         "sliding_window": 16, "num_hidden_layers": 4, "rms_norm_eps": 1e-6, "attention_bias": False, "pad_token_id": 0}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}

MODELS = {
    "llama": llama([{"attention_bias": False}, {"mlp_bias": False}], attention_bias=True, mlp_bias=True, rope_scaling=None),
    "llama-llama3": llama([{"rope_scaling": None}], rope_scaling=LLAMA3, rope_theta=500.0, tie_word_embeddings=True),
    "llama-linear": llama([{"rope_scaling": None}], rope_scaling={"type": "linear", "factor": 4.0}, num_hidden_layers=2),
    "llama-yarn": llama([{"rope_scaling": None}], num_hidden_layers=2,
                        rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}),
    "llama-dynamic": llama([], num_hidden_layers=2, rope_scaling={"type": "dynamic", "factor": 4.0}),
    "mistral": model("mistral", "MistralForCausalLM", [{"sliding_window": None}], sliding_window=16, **WIDE),
    "mistral-long": model("mistral", "MistralForCausalLM", [{"sliding_window": None}, {"sliding_window": 199}], sliding_window=200,
                          num_hidden_layers=2, **WIDE, **{"max_position_embeddings": 1024, "rope_theta": 1e6}),
    "qwen2": model("qwen2", "Qwen2ForCausalLM", [{"use_sliding_window": False}, {"max_window_layers": 2}], hidden_size=64, use_sliding_window=True,
                   sliding_window=16, max_window_layers=1, tie_word_embeddings=True),
    "qwen3": model("qwen3", "Qwen3ForCausalLM", [{"rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}}], drop=["rope_theta"],
                   attention_bias=False, use_sliding_window=False, sliding_window=None, max_window_layers=3,
                   rope_parameters={"rope_theta": 10000.0, "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}, **WIDE),
    "phi3": phi3([{"sliding_window": None}, {"partial_rotary_factor": 1.0}], sliding_window=16, partial_rotary_factor=0.5, rope_scaling=None, original_max_position_embeddings=256),
    "phi3-longrope": phi3([{"rope_scaling": None}], num_attention_heads=1, sliding_window=None, partial_rotary_factor=0.75, max_position_embeddings=1024,
                          original_max_position_embeddings=128, rope_scaling={
                              "type": "longrope", "short_factor": [1 + i / 8 for i in range(24)], "long_factor": [4.0 + i for i in range(24)]}),
    "gemma2": model("gemma2", "Gemma2ForCausalLM", [{"sliding_window": 256}, {"attn_logit_softcapping": None},
                    {"final_logit_softcapping": None}, {"query_pre_attn_scalar": 16}, {"hidden_activation": "silu"}], drop=["tie_word_embeddings"], **GEMMA,
                    attn_logit_softcapping=5.0, final_logit_softcapping=8.0),
    "gemma3_text": model("gemma3_text", "Gemma3ForCausalLM", [{"sliding_window": 256}, {"rope_local_base_freq": 10000.0}, {"rope_scaling": None},
                         {"sliding_window_pattern": 2}], drop=["tie_word_embeddings"], **{
        **GEMMA, "num_hidden_layers": 6}, attn_logit_softcapping=None, final_logit_softcapping=None, rope_local_base_freq=100.0,
        rope_scaling={"rope_type": "linear", "factor": 8.0}, sliding_window_pattern=3),
    "smollm3": model("smollm3", "SmolLM3ForCausalLM", [{"no_rope_layers": [1, 1, 1, 1]}, {"rope_theta": 500.0}], num_hidden_layers=4, hidden_size=64, pad_token_id=0,
                     no_rope_layers=[1, 1, 0, 1], no_rope_layer_interval=4, use_sliding_window=False, sliding_window=None,
                     attention_bias=False, mlp_bias=False, layer_types=["full_attention"] * 4, tie_word_embeddings=True),
    "granite": model("granite", "GraniteForCausalLM", [{"residual_multiplier": 1.0}, {"embedding_multiplier": 1.0},
                     {"attention_multiplier": 0.25}, {"logits_scaling": 1.0}], hidden_size=64, attention_bias=False, mlp_bias=False,
                     embedding_multiplier=3.0, residual_multiplier=0.4, attention_multiplier=0.1, logits_scaling=2.0, tie_word_embeddings=True),
}


def fill(net, seed):
    """Random weights large enough that attention is sharp, rounded to bfloat16."""
    source = torch.Generator().manual_seed(seed)
    norm_of_one = "Gemma" not in type(net).__name__
    tied = net.config.tie_word_embeddings
    scale = math.sqrt(net.config.hidden_size) if not norm_of_one else getattr(net.config, "embedding_multiplier", 1.0)
    with torch.no_grad():
        for name, tensor in net.named_parameters():
            draw = torch.randn(tensor.shape, generator=source)
            if tensor.dim() == 1 and "norm" in name:
                values = draw * 0.15 + (1 if norm_of_one else 0)
                if tied and name == "model.norm.weight":
                    values = values + 4 * scale - 1
            elif tensor.dim() == 1:
                values = draw * 0.3
            elif "embed" in name:
                # A tied head finds the last token itself unless the layers outweigh its embedding.
                values = draw * (0.15 if tied else 0.5) / scale
            else:
                sharp = 2.0 if any(part in name for part in ["q_proj", "k_proj", "qkv_proj"]) else 1.0
                values = draw * sharp / math.sqrt(tensor.shape[1])
            tensor.copy_(values.to(torch.bfloat16).float())


def build(config, seed):
    folder = HERE / ".one"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    parsed = AutoConfig.from_pretrained(folder)
    shutil.rmtree(folder)
    net = AutoModelForCausalLM.from_config(parsed, attn_implementation="eager", dtype=torch.float32).eval()
    fill(net, seed)
    return net


def after(net, ids):
    with torch.no_grad():
        return net(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]


def greedy(net, ids):
    """Computed from scratch at each step: nothing rests on transformers' cache."""
    tokens, gap, first = [], float("inf"), None
    for _ in range(STEPS):
        logits = after(net, ids + tokens)
        first = logits if first is None else first
        top = torch.topk(logits, 2)
        gap = min(gap, (top.values[0] - top.values[1]).item())
        tokens.append(top.indices[0].item())
    return first, tokens, gap


def make(name, seed):
    spec = MODELS[name]
    config = spec["config"]
    net = build(config, seed)
    rng = np.random.default_rng(seed)
    prompts, rows = [], []
    for length in LONG.get(name, LENGTHS):
        while True:
            ids = rng.integers(3, config["vocab_size"], length).tolist()
            first, tokens, gap = greedy(net, ids)
            if gap > LEAST_GAP:
                break
        prompts.append({"input_ids": ids, "output_ids": tokens, "least_gap": round(gap, 4)})
        rows.append(first.numpy())
    least = float("inf")
    for changed in spec["without"]:
        other = build({**config, **changed}, seed)
        other.load_state_dict(net.state_dict(), strict=False)
        change = (after(other, prompts[-1]["input_ids"]) - torch.from_numpy(rows[-1])).abs().max().item()
        assert change > CLEARLY, f"{name}: with {changed} the logits differ by {change} only"
        least = min(least, change)
    write(HERE / name, config, net, prompts, rows)
    net.config.save_pretrained(HERE / ".saved")
    shutil.move(HERE / ".saved" / "config.json", HERE / name / "config.saved.json")
    shutil.rmtree(HERE / ".saved")
    print(f"{name}: least change {least:.3f}, gaps {[p['least_gap'] for p in prompts]}, distinct {[len(set(p['output_ids'])) for p in prompts]},"
          f" spread {np.std(rows[-1]):.2f}")


def write(folder, config, net, prompts, rows):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    tied = net.config.tie_word_embeddings
    tensors = {k: v.to(torch.bfloat16).contiguous() for k, v in net.state_dict().items()
               if not (tied and k == "lm_head.weight") and "embed_scale" not in k and "inv_freq" not in k}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "golden.json").write_text(json.dumps(prompts) + "\n")
    np.stack(rows).astype("<f4").tofile(folder / "logits.f32")


if __name__ == "__main__":
    torch.manual_seed(0)
    for name in MODELS:
        if not sys.argv[1:] or name in sys.argv[1:]:
            make(name, sum(name.encode()))
