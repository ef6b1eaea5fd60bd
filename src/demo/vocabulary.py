"""The tokenizer: byte-level BPE of 3,072 tokens in which every digit stands alone.

Single digits make arithmetic learnable, and a small vocabulary keeps the embedding a small part of
so small a model. Letters join a space before them but no other sign, so that a word in quotes is the same token as the bare
word. The splitting pattern uses no inline flags, so that JavaScript reads it as Rust does.
"""

import json
import pathlib
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from corpus import document_parts

SIZE = 3072
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MARKS = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]   # kept in decoded text
PATTERN = r"'(?:[sdmtSDMT]|ll|LL|ve|VE|re|RE)| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s*[\r\n]+|\s+(?!\S)|\s+"


def train_tokenizer(documents=30000, seed=7):
    """Train on generated documents; special and marker tokens come first (ids 0 to 6)."""
    rng = random.Random(seed)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=SIZE, special_tokens=SPECIAL + MARKS, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    texts = []
    for _ in range(documents):
        text = "".join(t for t, _ in document_parts(rng))
        for mark in SPECIAL + MARKS:
            text = text.replace(mark, "\n")
        texts.append(text[:4000])
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(m, normalized=False, special=False) for m in MARKS])
    data = json.loads(tokenizer.to_str())
    for token in data["added_tokens"]:      # the trainer marks all of them special; the tool marks are ordinary text
        token["special"] = token["content"] in SPECIAL
    return Tokenizer.from_str(json.dumps(data))


def save_tokenizer(tokenizer, folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    template = (pathlib.Path(__file__).parent / "chat_template.jinja").read_text().rstrip("\n")
    decoder = {str(tokenizer.token_to_id(t)): {"content": t, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
                                               "special": t in SPECIAL} for t in SPECIAL + MARKS}
    config = {"add_bos_token": False, "add_prefix_space": False, "added_tokens_decoder": decoder, "bos_token": None, "chat_template": template,
              "clean_up_tokenization_spaces": False, "eos_token": "<|im_end|>", "model_max_length": 4096, "pad_token": "<|endoftext|>",
              "tokenizer_class": "PreTrainedTokenizerFast", "unk_token": None}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    save_tokenizer(train_tokenizer(), pathlib.Path(__file__).parent / "model")
