"""Train tdist/demo from nothing: tokenizer, corpus, model, export to a Hugging Face folder.

    python train.py --out model                     (one GPU, minutes)
    python train.py --out tiny --steps 20 --rows 1   (CPU, to try it out)

Worker processes generate the corpus while the model trains. The learning rate follows the steps, or
the clock when --minutes would end the run before its steps do, so a run always ends with its decay.
"""

import argparse
import json
import math
import multiprocessing
import os
import pathlib
import time

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

import corpus
from llama import CONFIG, Llama
from vocabulary import save_tokenizer, train_tokenizer

PEAK, WARM_UP, DECAY = 3e-3, 200, 0.4


def make_shard(job):
    tokenizer, seed, rows = job
    return corpus.shard(Tokenizer.from_file(tokenizer), seed, rows)


def batches(tokenizer, args, device):
    """Batches in seed order; the pool runs ahead of the training loop."""
    jobs = ((tokenizer, args.seed * 1_000_000 + i, args.shard) for i in range(math.ceil(args.steps * args.rows / args.shard) + 1))
    with multiprocessing.Pool(args.workers) as pool:
        for rows in pool.imap(make_shard, jobs):
            for i in range(0, len(rows) - args.rows + 1, args.rows):
                packed = torch.from_numpy(rows[i:i + args.rows].astype(np.int32)).to(device, non_blocking=True)
                yield packed
        pool.terminate()


def unpack(packed):
    """Split the flags off: ids, next-token targets (-100 where no answer), document numbers."""
    ids = packed & corpus.ID_MASK
    docs = ((packed & corpus.STARTS) != 0).int().cumsum(1)
    counts = ((packed & corpus.TRAINED) != 0) & ((packed & corpus.STARTS) == 0)     # nothing foretells a document's first token
    targets = torch.where(counts, ids, -100)
    targets = torch.cat((targets[:, 1:], torch.full_like(targets[:, :1], -100)), 1)
    return ids.long(), targets.long(), docs


def masks(device):
    """A function from document numbers to the mask: causal, and within one document only."""
    def dense(docs):
        return (docs[:, None, :, None] == docs[:, None, None, :]).tril()

    if device != "cuda":
        return dense
    from torch.nn.attention.flex_attention import create_block_mask
    create = torch.compile(create_block_mask)

    def blocks(docs):
        def visible(b, h, q, k):
            return (q >= k) & (docs[b, q] == docs[b, k])
        return create(visible, docs.shape[0], None, docs.shape[1], docs.shape[1], device=device)
    return blocks


def rate(progress, step):
    """Warm-up, a flat part, and a linear fall over the last 40 %."""
    return PEAK * min(1, (step + 1) / WARM_UP) * min(1, max(0.0, 1 - progress) / DECAY)


def export(model, folder):
    """Write the Hugging Face folder; half precision with the smaller rounding error (float16 when it fits)."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().float().cpu() for k, v in model.state_dict().items()}
    assert max(v.abs().max().item() for v in state.values()) < 60000
    save_file({k: v.half().contiguous() for k, v in state.items()}, str(folder / "model.safetensors"), metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 2, "pad_token_id": 0, "do_sample": False}, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=str(pathlib.Path(__file__).parent / "model"))
    parser.add_argument("--steps", type=int, default=13000)
    parser.add_argument("--rows", type=int, default=16, help="rows of 4,096 tokens in a step")
    parser.add_argument("--minutes", type=float, default=1e9, help="end by then, decay included")
    parser.add_argument("--shard", type=int, default=256, help="rows generated at a time")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 3))
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.shard = max(args.rows, args.shard if args.steps * args.rows > args.shard else args.rows)
    began = time.time()
    out = pathlib.Path(args.out)
    tokenizer = train_tokenizer()
    save_tokenizer(tokenizer, out)
    print(f"tokenizer: {tokenizer.get_vocab_size()} tokens, {time.time() - began:.1f} s")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    device = "cuda" if torch.cuda.is_available() else "cpu"
    source = batches(str(out / "tokenizer.json"), args, device)
    first = next(source)       # starts the workers before the model does
    torch.manual_seed(args.seed)
    torch.set_float32_matmul_precision("high")
    model = Llama(CONFIG, corpus.SEQUENCE).to(device)
    print(f"model: {sum(p.numel() for p in model.parameters()):,} parameters on {device}")
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
                                  lr=PEAK, betas=(0.9, 0.95), fused=device == "cuda")
    mask_of = masks(device)

    def loss_of(packed):
        ids, targets, docs = unpack(packed)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            return forward(ids, targets, mask_of(docs))

    forward = torch.compile(model) if device == "cuda" else model
    start, tokens, step, packed = time.time(), 0, 0, first
    while step < args.steps:
        progress = max(step / args.steps, (time.time() - began) / 60 / args.minutes)
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate(progress, step)
        loss = loss_of(packed)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        tokens += packed.numel()
        if step % 250 == 0 or step == args.steps - 1:
            print(f"step {step} loss {loss.item():.4f} tokens {tokens / 1e6:.0f} M, {time.time() - start:.0f} s, rate {rate(progress, step):.2e}")
        step += 1
        if step < args.steps:
            packed = next(source)
    source.close()
    export(model, out)
    print(f"trained {step} steps, {tokens / 1e6:.1f} M tokens in {(time.time() - began) / 60:.1f} minutes, all included")


if __name__ == "__main__":
    main()
