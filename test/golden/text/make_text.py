"""Make tiny tokenizers and chat templates of the kinds that models use, and what the reference does with them.

    python test/golden/text/make_text.py          (needs transformers and tokenizers; seconds)

One folder a family: tokenizer.json and tokenizer_config.json, made here (the vocabulary is trained on the texts
below, the template written after the family's format), and `golden.json`: ids and decoded text of each text,
renderings of each text as a user's message and of conversations. A refusal of a template is kept as null.
"""

import json
import pathlib

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from templates import TEMPLATES

HERE = pathlib.Path(__file__).resolve().parent

# U+FEFF and U+0085: what JavaScript's \\s takes for white space and Rust's does not, and the reverse.
TEXTS = [
    "", " ", "a", "Hello, world!", " leading and trailing ", "two  spaces   three    four", "\n", "line\nbreak\r\nand\n\n\nblank", "\ttab\t\tseparated  \n  \t mix",
    "def f(x):\n    if x:\n        return x ** 2  # square\n\n\treturn None\n", "for (int i = 0; i < 10; ++i) { a[i] = b->c(&d); }", "{\"a\": [1, 2, {\"b\": null}], \"é\": \"\\n\"}",
    "1234567890 3.14159 1,000,000 2026-11-22T10:30:00Z x1y2", "1/2 ½ ² ٣ Ⅷ ①", "don't you're I'll we've THEY'RE it's 'tis", "naïve café Ångström São Tomé", "e\u0301 combining, A\u030a",
    "日本語のテキストです。", "中文字符，测试！", "한국어 문장", "Привет, мир", "مرحبا بالعالم", "שלום ไทย हिन्दी", "😀🎉🚀 go!", "👨‍👩‍👧‍👦 family 👍🏽", "zero\u200bwidth non\u00a0breaking",
    "\u0000\u0001 control \u007f", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 \U0010ffff", "▁ lower ▁▁ block Ġ Ċ", "https://example.org/path?q=1&r=%20#top user@example.com", "!!!??? ... --- *** ((( ))) “quotes” – dash — em…",
    "<s>[INST] hi [/INST]</s>", "<|im_start|>user\nHi<|im_end|>\n", "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nx<|eot_id|>", "<start_of_turn>user\nHi<end_of_turn> <bos>",
    "<|user|>\nHi<|end|>\n<|assistant|> after", "<|im_start", "<think>\nhm\n</think>\n\nyes", "<tool_call>\n{\"name\": \"f\"}\n</tool_call>", "a" * 40, "ab " * 20, "<0x0A> <0xE4>", "<unk> <pad>",
    "\ufeffmark at the beginning", "a  \ufeff. mark\ufeff   inside    \ufeff!\n\ufeff", "next\u0085line \u0085\u2028 x\u2029", "dGhlIHN1biBpcyBhIHN0YXIK+/==", "12345678901234567890 ½½²", "\n" * 7 + " " * 9 + "\t" * 5, "😀" * 12,
]

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def bytes_of(split, normalizer=None, ignore_merges=False):
    """Byte-level BPE after a regular expression, or GPT-2's with single digits where there is none."""
    tok = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer is not None:
        tok.normalizer = normalizer
    tok.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(split), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)] if split
        else [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tok.decoder = decoders.ByteLevel()
    return tok, trainers.BpeTrainer(vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)


FALLBACK = [f"<0x{i:02X}>" for i in range(256)]


def pieces(kind):
    """SentencePiece's BPE as tokenizers has it: spaces as ▁, unknown characters as bytes."""
    tok = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    strip = [decoders.Strip(" ", 1, 0)]
    if kind == "prepend":
        tok.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    elif kind == "metaspace":
        tok.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    else:
        tok.normalizer = normalizers.Replace(" ", "▁")
        tok.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
        strip = []
    tok.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip])
    return tok, trainers.BpeTrainer(vocab_size=700, special_tokens=["<unk>", "<s>", "</s>", *FALLBACK], show_progress=False, limit_alphabet=150)


def special(*texts, **options):
    return [AddedToken(text, special=True, normalized=False, **options) for text in texts]


def plain(*texts, **options):
    return [AddedToken(text, special=False, normalized=False, **options) for text in texts]


def bos_first(tok, bos):
    tok.post_processor = processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, tok.token_to_id(bos))])


CHATML = special("<|endoftext|>", "<|im_start|>", "<|im_end|>")
FAMILIES = {
    "llama3": (lambda: bytes_of(LLAMA3, ignore_merges=True), special(
        "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>", "<|python_tag|>"),
        {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}),
    "qwen2": (lambda: bytes_of(QWEN, normalizers.NFC()), CHATML + plain("<tool_call>", "</tool_call>"), {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}),
    "qwen3": (lambda: bytes_of(QWEN, normalizers.NFC()), CHATML + plain("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"),
              {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}),
    "smollm3": (lambda: bytes_of(LLAMA3), CHATML + plain("<think>", "</think>"), {"eos_token": "<|im_end|>"}),
    "granite": (lambda: bytes_of(None), special("<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>", "<|tool_call|>"),
                {"bos_token": "<|end_of_text|>", "eos_token": "<|end_of_text|>"}),
    "llama2": (lambda: pieces("prepend"), [], {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}),
    "mistral": (lambda: pieces("metaspace"), special("[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"),
                {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}),
    "phi3": (lambda: pieces("prepend"), special("<|endoftext|>") + special("<|user|>", "<|assistant|>", "<|system|>", "<|end|>", rstrip=True),
             {"bos_token": "<s>", "eos_token": "<|endoftext|>", "unk_token": "<unk>"}),
    "gemma": (lambda: pieces("replace"), special("<pad>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>") + plain("\n\n", "\n\n\n", "▁▁", "▁▁▁", "▁▁▁▁", "\t\t"),
              {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>"}),
}

WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "The weather of a <city> & \"more\" é.", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}}, "required": ["city"]}}}
CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "São Tomé", "days": 2, "deep": {"a": [1, 2.5, None, True]}}}}


def say(role, content, **more):
    return {"role": role, "content": content, **more}


def conversations():
    ask = [say("user", "What is the weather?")]
    called = ask + [say("assistant", "", tool_calls=[CALL])]
    answered = called + [say("tool", "{\"degrees\": 21}", tool_call_id="abcdefghi", name="get_weather")]
    system = [say("system", "You are brief.\n")]
    turns = [say("user", "Hi"), say("assistant", "  Hello! "), say("user", "  Bye\n")]
    thought = [say("user", "2+2?"), say("assistant", "<think>\nsum\n</think>\n\n4"), say("user", "sure?")]
    return [
        (turns, None, True), (turns, None, False), (system + turns, None, True), (ask, [WEATHER], True), (system + ask, [WEATHER, WEATHER], True),
        (called, [WEATHER], False), (answered, [WEATHER], True), (answered + [say("assistant", "21 degrees."), say("user", "Thanks")], [WEATHER], True), (thought, None, True),
        (thought + [say("assistant", "<think>\nagain\n</think>\n\nyes")], None, False), ([say("assistant", "I begin")] + turns, None, True), (turns + [say("user", "twice")], None, True),
        (ask + system, None, True), (called + [say("assistant", "hm", tool_calls=[CALL, CALL]), say("tool", "1"), say("tool", "2")], [WEATHER], True),
    ]


def make(family):
    kind, added, named = FAMILIES[family]
    folder = HERE / family
    folder.mkdir(exist_ok=True)
    if (folder / "tokenizer.json").exists():
        tok = Tokenizer.from_file(str(folder / "tokenizer.json"))
    else:  # Training breaks ties at random: what is there stays.
        tok, trainer = kind()
        tok.train_from_iterator([text for text in TEXTS[:43] if "\U0010ffff" not in text and "<" not in text] * 3, trainer)
        tok.add_tokens(added)
        if named.get("bos_token") and family != "granite":
            bos_first(tok, named["bos_token"])
        data = json.loads(tok.to_str())  # The trainer adds bytes as special tokens; models have them as words.
        data["added_tokens"] = [token for token in data["added_tokens"] if token["content"] not in FALLBACK]
        (folder / "tokenizer.json").write_text(json.dumps(data, ensure_ascii=False, separators=(",", ":")))
        tok = Tokenizer.from_file(str(folder / "tokenizer.json"))
    config = {**named, "chat_template": TEMPLATES[family], "clean_up_tokenization_spaces": False, "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    fast = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **named, clean_up_tokenization_spaces=False)
    fast.chat_template = TEMPLATES[family]

    def render(messages, tools, prompt):
        try:
            return fast.apply_chat_template(messages, tools=tools, add_generation_prompt=prompt, tokenize=False)
        except Exception as refusal:  # raise_exception in the template
            assert type(refusal).__name__ == "TemplateError", refusal
            return None

    texts = []
    for text in TEXTS:
        ids = tok.encode(text, add_special_tokens=False).ids
        texts.append({"text": text, "ids": ids, "with_special": tok.encode(text).ids, "decoded": tok.decode(ids, skip_special_tokens=True),
                      "decoded_all": tok.decode(ids, skip_special_tokens=False), "rendered": render([say("user", text)], None, True)})
    chats = [{"messages": m, "tools": t, "add_generation_prompt": p, "rendered": render(m, t, p)} for m, t, p in conversations()]
    for chat in chats:
        chat["ids"] = None if chat["rendered"] is None else tok.encode(chat["rendered"], add_special_tokens=False).ids
    dump = lambda rows: "[\n" + ",\n".join(json.dumps(row, ensure_ascii=True) for row in rows) + "\n]"
    (folder / "golden.json").write_text('{"texts": ' + dump(texts) + ',\n"chats": ' + dump(chats) + "}\n")
    print(family, tok.get_vocab_size(), "refused", sum(c["rendered"] is None for c in chats))


def spaced(scheme, split):
    return pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme, split=split)


def odd_kinds():
    """Ways to cut and to look up that no family above has, each with a vocabulary of a few words."""
    split = lambda behavior, invert=False: pre_tokenizers.Split(Regex(r"[\s,]+|\d"), behavior, invert=invert)
    behaviors = [split(b, i) for b in ("isolated", "removed", "merged_with_previous", "merged_with_next", "contiguous") for i in (False, True)]
    texts = ["", " ", "a", "ab, ab12ab  ,b", ", 1ab", "ab ab\ufeffab \u0085ab", "ab12,,34 ", "▁ab ▁▁ ab", "  ab", "zéab zz ab z", "[x] ab[X]ab [y]a[y]b[y] ab\ufeff[x]  ab", "ab" * 40, "½1²ab"]
    words = ["<unk>", "a", "b", "ab", " ", ",", "1", "2", "▁", "▁a", "▁ab", "▁▁", "abab", "b▁", ", "]
    merges = [("a", "b"), ("▁", "ab"), ("ab", "ab"), ("▁", "▁"), ("▁", "a"), ("b", "▁"), (",", " ")]
    added = [AddedToken("[x]", lstrip=True, normalized=True), AddedToken("[X]", rstrip=True, normalized=False, special=True), AddedToken("[y]", single_word=True, normalized=False)]
    plans = [(one, {}, None) for one in [None, *behaviors, *(spaced(s, p) for s in ("always", "first", "never") for p in (False, True)),
                                         pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.Digits(individual_digits=True)]]
    plans += [(None, {"unk_token": None}, None), (None, {"fuse_unk": False}, None), (None, {"ignore_merges": True}, None), (None, {}, normalizers.Lowercase())]
    plans += [(pre_tokenizers.Sequence([split("isolated"), pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=r)]), {}, None) for r in (False, True)]
    for cut, options, normalizer in plans:
        model = {"unk_token": "<unk>", "fuse_unk": True, **options}
        tok = Tokenizer(models.BPE(vocab={word: id for id, word in enumerate(words)}, merges=merges, **{k: v for k, v in model.items() if v is not None}))
        if cut is not None:
            tok.pre_tokenizer = cut
        if normalizer is not None:
            tok.normalizer = normalizer
        tok.add_tokens(added)
        yield {"tokenizer": json.loads(tok.to_str()), "texts": [{"text": text, "ids": tok.encode(text).ids} for text in texts]}


if __name__ == "__main__":
    for family in FAMILIES:
        make(family)
    rows = [json.dumps(kind, ensure_ascii=True) for kind in odd_kinds()]
    (HERE / "odd.json").write_text("[\n" + ",\n".join(rows) + "\n]\n")
