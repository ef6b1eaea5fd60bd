"""Write rope.json: the frequencies and amplitudes that transformers computes for scalings as models have them.

    python test/golden/arch/make_rope.py          (needs torch and transformers; seconds)
"""

import json
import pathlib

from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

HERE = pathlib.Path(__file__).resolve().parent
LLAMA31 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}

# name, head size, theta, max_position_embeddings, rope_scaling
CASES = [
    ("llama 3.1 8b", 128, 500000.0, 131072, LLAMA31),
    ("llama 3.2 1b", 64, 500000.0, 131072, {**LLAMA31, "factor": 32.0}),
    ("linear", 128, 10000.0, 8192, {"rope_type": "linear", "factor": 4.0}),
    ("qwen yarn", 128, 1000000.0, 32768, {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}),
    ("yarn, its length not said", 64, 10000.0, 4096, {"rope_type": "yarn", "factor": 2.0}),
    ("yarn, factor 1", 64, 10000.0, 4096, {"rope_type": "yarn", "factor": 1.0, "original_max_position_embeddings": 4096}),
    ("yarn, amplitude given", 64, 10000.0, 65536, {"rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 4096, "attention_factor": 0.8}),
    ("yarn, mscale", 64, 10000.0, 163840, {"rope_type": "yarn", "factor": 40.0, "original_max_position_embeddings": 4096, "beta_fast": 32, "beta_slow": 1,
                                          "mscale": 0.707, "mscale_all_dim": 1.0}),
    ("yarn, other betas", 64, 10000.0, 65536, {"rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 4096, "beta_fast": 8.0, "beta_slow": 2.0}),
    ("yarn, not rounded", 64, 150000.0, 131072, {"rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096, "truncate": False}),
    ("phi longrope", 96, 10000.0, 131072, {"rope_type": "longrope", "original_max_position_embeddings": 4096, "short_factor": [1.0 + i / 40 for i in range(48)],
                                          "long_factor": [1.0 + i for i in range(48)], "factor": 32.0}),
    ("longrope, amplitude given", 64, 10000.0, 131072, {"rope_type": "longrope", "original_max_position_embeddings": 4096, "short_factor": [1.0] * 32,
                                                       "long_factor": [4.0] * 32, "factor": 32.0, "attention_factor": 1.19}),
]

if __name__ == "__main__":
    rows = []
    for name, size, theta, positions, scaling in CASES:
        config = LlamaConfig(hidden_size=size * 2, num_attention_heads=2, head_dim=size, max_position_embeddings=positions, rope_theta=theta, rope_scaling=dict(scaling))
        frequencies, amplitude = ROPE_INIT_FUNCTIONS[scaling["rope_type"]](config, "cpu")
        rows.append({"name": name, "dims": size, "theta": theta, "positions": positions, "scaling": scaling, "frequencies": frequencies.tolist(), "amplitude": amplitude})
    (HERE / "rope.json").write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
