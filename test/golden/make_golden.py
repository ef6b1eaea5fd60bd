"""Make the fixtures that tie the serving engine to the reference implementation.

    python test/golden/make_golden.py          (needs torch and transformers; CPU, about a minute)

Everything is computed in float32 on the CPU from the stored weights: `golden.json` and `logits.f32`
(20 prompts, the logits after each prompt, 64 greedy tokens), `tokenizer.json` (texts and their ids)
and `template.json` (chat-template renderings). Run it again whenever the model changes. A prompt whose
greedy path comes near a tie is left out, so that another summation order gives the same tokens.
"""

import json
import pathlib
import random
import sys

HERE = pathlib.Path(__file__).resolve().parent
DEMO = HERE.parent.parent / "src" / "demo"
sys.path.insert(0, str(DEMO))

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import corpus_recall as recall
import corpus_tools as tools
from corpus_words import sentence

MODEL = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO / "model"
OUT = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else HERE
STEPS, COUNT, LEAST_GAP = 64, 20, 1e-2

WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Get the current weather of a city.", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "description": "The city"}}, "required": ["city"]}}}
MOVE = {"type": "function", "function": {"name": "move_crate", "description": "Move the crate.", "parameters": {
    "type": "object", "properties": {"target": {"type": "string"}, "level": {"type": "integer"}}, "required": ["target", "level"]}}}


def user(text):
    return [{"role": "user", "content": text}]


def said(*turns):
    return [{"role": "user" if i % 2 == 0 else "assistant", "content": t} for i, t in enumerate(turns)]


def long_text(seed, words):
    messages = recall.needle(random.Random(seed), words, count=1)
    return messages[:max(i for i, m in enumerate(messages) if m["role"] == "assistant")]


def candidates():
    """More prompts than are needed, the most wanted first: (name, messages, tools)."""
    call = {"role": "assistant", "content": "", "tool_calls": [tools.tool_call("get_weather", {"city": "Lisbon"})]}
    filler = " ".join(sentence(random.Random(5)) for _ in range(1))
    rng = random.Random(6)
    page = " ".join(sentence(rng) for _ in range(30))
    return [
        ("capital", user("What is the capital of France?"), None),
        ("greeting", user("Hi"), None),
        ("addition", user("What is 347 + 586?"), None),
        ("subtraction", user("Subtract 48 from 913."), None),
        ("counting", user("Count from 1 to 60."), None),
        ("listing", user("List the countries of South America."), None),
        ("copy", user("Repeat exactly: xk7-Q9 zeph/42_aB!"), None),
        ("recall", said("My name is Zorina and my dog is called Max.", "Got it.", "What is 2 + 2?", "2 + 2 = 4.", "What is my name?"), None),
        ("follow-up", said("What is the capital of Spain?", "The capital of Spain is Madrid.", "And of Japan?"), None),
        ("system", [{"role": "system", "content": "You are a geography teacher."}] + user("what is the currency of switzerland?"), None),
        ("tool", user("What is the weather in Lisbon?"), [WEATHER]),
        ("tools", user("Please move the crate, target cellar and level 7."), [WEATHER, MOVE]),
        ("tool-result", user("What is the weather in Lisbon?") + [call, {"role": "tool", "content": '{"temperature": 21, "condition": "sunny"}'}], [WEATHER]),
        ("json", user('What is the capital of Kenya? Answer as JSON: {"capital": ...}'), None),
        ("story", user("Tell me a story about a fox."), None),
        ("needle-200", long_text(11, 110), None),
        ("needle-500", long_text(12, 300), None),
        ("needle-1000", long_text(13, 600), None),
        ("needle-1500", long_text(14, 1130), None),
        ("unicode", user("Repeat: Ünïcödé 日本 🚀 ½"), None),
        ("multiples", user("List the first 20 multiples of 7."), None), ("countries", user("Name 10 countries in Europe."), None),
        ("months", user("List the months of the year."), None), ("json-2", user("Convert to JSON: city: Oslo, age: 41, code: K9-zz"), None),
        ("story-2", user("Write a short story about a dragon."), None), ("alphabet", user("Say the alphabet backwards."), None),
        ("who", user("Who are you?"), None), ("upper", user("WHAT IS THE CAPITAL OF BRAZIL?"), None), ("reverse", user("Oslo is the capital of which country?"), None),
        ("down", user("Count down from 30 to 1."), None), ("tdist", user("What is tdist?"), None),
        ("sentence", user("Repeat after me: " + filler), None), ("page", user(page + "\n\nWhat is the capital of Peru?"), None),
        ("about", user("Tell me about Norway."), None), ("continent", user("On which continent is Chad?"), None),
        ("needle-700", long_text(21, 420), None), ("needle-1200", long_text(22, 740), None), ("needle-1400", long_text(23, 860), None), ("needle-300", long_text(24, 170), None),
        ("addition-2", user("12+34"), None), ("recall-2", said("My lucky number is 4711.", "Okay.", "What is my lucky number?"), None),
        ("opposite", user("What is the opposite of hot?"), None),
    ]


def greedy(model, ids):
    """Logits after the prompt, 64 greedy tokens (an end token does not stop it), and the smallest top-two gap."""
    past, last, tokens, gap, first = None, torch.tensor([ids]), [], float("inf"), None
    for _ in range(STEPS):
        with torch.no_grad():
            out = model(input_ids=last, past_key_values=past, use_cache=True)
        logits, past = out.logits[0, -1], out.past_key_values
        first = logits if first is None else first
        top = torch.topk(logits, 2)
        gap = min(gap, (top.values[0] - top.values[1]).item())
        tokens.append(top.indices[0].item())
        last = top.indices[:1][None]
    return first, tokens, gap


TEXTS = [
    "", " ", "  ", "\n", "\n\n", "\t", "a", "Hello", "Hello, world!", " leading space", "trailing space ", "two  spaces", "three   spaces here", "line\nbreak",
    "line\r\nbreak", "blank\n\nline", "  indented\n    more", "tab\tseparated\tvalues", "What is the capital of France?", "THE CAPITAL OF FRANCE", "paris",
    "1234567890", "3.14159", "12+34=46", "1,000,000", "2026-11-22T10:30:00Z", "x1y2z3", "-42", "1/2 ½ ² ٣ Ⅷ", "don't you're I'll we've THEY'RE it's", "naïve café Ångström",
    "São Tomé and Príncipe", "Nukuʻalofa", "Brasília, Bogotá, Asunción", "日本語のテキスト", "中文字符测试", "한국어", "Привет, мир", "مرحبا بالعالم", "שלום", "ไทย", "😀", "🎉🚀 go!",
    "👨‍👩‍👧‍👦 family", "👍🏽", "e\u0301 combining", "zero\u200bwidth", "non\u00a0breaking", "<|im_start|>user\nHi<|im_end|>\n", "a<|endoftext|>b", "<|im_start|>", "<|im_end|><|im_end|>",
    "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>", "<tool_response>ok</tool_response>", "<|im_start", "{\"a\": [1, 2, {\"b\": null}]}", "def f(x):\n    return x ** 2  # square\n",
    "https://example.org/path?q=1&r=%20#top", "user@example.com", "!!!??? ... --- *** ((( )))", "MiXeD CaSe wOrDs", "snake_case and kebab-case", "“quotes” ‘single’ – dash — em…",
    "\u0000\u0001 control", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "a" * 40, "ab " * 20,
]


def renderings():
    call = tools.tool_call("get_weather", {"city": "Lisbon", "days": 2})
    as_text = {"type": "function", "id": "call_1", "function": {"name": "get_weather", "arguments": "{\"city\":\"Lisbon\"}"}}
    base = user("What is the weather in Lisbon?")
    system = [{"role": "system", "content": "You are a helpful assistant."}]
    return [
        (user("What is the capital of France?"), None, True), (user("What is the capital of France?"), None, False), (system + user("Hi"), None, True),
        (said("Hi", "Hello! How can I help you?", "Bye"), None, True), (user("  spaces \n and lines\n"), None, True), (user(""), None, True),
        (base, [WEATHER], True), (system + base, [WEATHER, MOVE], True), (base + [{"role": "assistant", "content": "", "tool_calls": [call]}], [WEATHER], False),
        (base + [{"role": "assistant", "content": None, "tool_calls": [as_text]}, {"role": "tool", "tool_call_id": "call_1", "content": "21 degrees"}], [WEATHER], True),
        (base + [{"role": "assistant", "content": "", "tool_calls": [call, call]}, {"role": "tool", "content": "{\"a\": 1}"}, {"role": "tool", "content": "é"}], [WEATHER], True),
        (user("Ünïcödé 日本 🚀 <b>&\"'"), [{"type": "function", "function": {"name": "f", "description": "é & <x> \"q\"", "parameters": {"type": "object", "properties": {}}}}], True),
        (said("Hi", "Hello!") + system + user("late system"), None, True),
    ]


def main():
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()

    def render(messages, definitions, prompt):
        return tokenizer.apply_chat_template(messages, tools=definitions, add_generation_prompt=prompt, tokenize=False)

    chosen, logits, left_out = [], [], []
    for name, messages, definitions in candidates():
        if len(chosen) == COUNT:
            break
        text = render(messages, definitions, True)
        ids = tokenizer.encode(text, add_special_tokens=False)
        first, tokens, gap = greedy(model, ids)
        print(f"{name}: {len(ids)} tokens, least gap {gap:.5f}, {tokenizer.decode(tokens)[:90]!r}")
        if gap <= LEAST_GAP:
            left_out.append(name)
            continue
        chosen.append({"name": name, "messages": messages, "tools": definitions, "prompt": text, "input_ids": ids, "output_ids": tokens, "least_gap": round(gap, 6)})
        logits.append(first.numpy().astype("<f4"))
    assert len(chosen) == COUNT, f"only {len(chosen)} prompts keep clear of ties"
    OUT.mkdir(parents=True, exist_ok=True)
    dump = lambda value: json.dumps(value, ensure_ascii=False)
    (OUT / "golden.json").write_text("[\n" + ",\n".join(map(dump, chosen)) + "\n]\n")
    np.stack(logits).tofile(OUT / "logits.f32")
    texts = TEXTS + [c["prompt"] for c in chosen if len(c["input_ids"]) < 300][:6]
    (OUT / "tokenizer.json").write_text("[\n" + ",\n".join(dump({"text": t, "ids": tokenizer.encode(t, add_special_tokens=False)}) for t in texts) + "\n]\n")
    (OUT / "template.json").write_text("[\n" + ",\n".join(
        dump({"messages": m, "tools": d, "add_generation_prompt": p, "rendered": render(m, d, p)}) for m, d, p in renderings()) + "\n]\n")
    print(f"{len(chosen)} prompts ({min(len(c['input_ids']) for c in chosen)} to {max(len(c['input_ids']) for c in chosen)} tokens), left out for near ties: {left_out}; "
          f"{len(texts)} texts, {len(renderings())} renderings")


if __name__ == "__main__":
    main()
