"""What the exported model can do, measured on questions that training never saw.

    python evaluate.py                      (all checks; under a minute on a GPU)
    python evaluate.py --limit 50           (a sample, for the CPU)

Greedy answers, float32 arithmetic on the stored weights. An answer counts only if the whole text is
right. Prints a table and, as its last line, one JSON object.
"""

import argparse
import json
import os
import pathlib
import random
import time

os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import corpus
import corpus_geo as geo
import corpus_numbers as numbers
import corpus_recall as recall
import corpus_talk as talk
import corpus_tools as tools
from corpus_facts import COUNTRIES
from corpus_geo_phrases import CAPITAL_HELD, CURRENCY_HELD, FOLLOW_UP
from corpus_words import held_out, made_up, random_string, sentence, unseen


def user(text):
    return [{"role": "user", "content": text}]


def capitals(rng):
    return [(user(geo.fill(t, c)), None, c.capital_answer) for t in CAPITAL_HELD for c in COUNTRIES]


def recased(change):
    return lambda rng: [(user(change(geo.fill(rng.choice(CAPITAL_HELD), c))), None, c.capital_answer) for c in COUNTRIES for _ in range(3)]


def currencies(rng):
    return [(user(geo.fill(t, c)), None, c.currency_answer) for t in CURRENCY_HELD for c in COUNTRIES]


def follow_ups(rng):
    """A held-out capital question, then "And of {X}?"."""
    cases = []
    for c in COUNTRIES:
        first = rng.choice(COUNTRIES)
        messages = user(geo.fill(rng.choice(CAPITAL_HELD), first)) + [{"role": "assistant", "content": first.capital_answer}]
        cases.append((messages + user(geo.fill(rng.choice(FOLLOW_UP), c)), None, c.capital_answer))
    return cases


def sums(op, low, high, count=1000):
    def make(rng):
        pairs = set()
        for _ in range(30 * count):      # two-digit differences have fewer held-out pairs than `count`
            a, b = rng.randint(low, high), rng.randint(low, high)
            if op == "-" and a < b:
                a, b = b, a
            if held_out(op, a, b) and len(pairs) < count:
                pairs.add((a, b))
        ask = numbers.ADD if op == "+" else numbers.SUB
        return [(user(rng.choice(ask).format(a=a, b=b)), None, f"{a} {op} {b} = {numbers.result(a, op, b)}.") for a, b in sorted(pairs)]
    return make


def last_turn(messages, definitions=None):
    """Everything before the last trained answer asks; the answer is what is expected."""
    last = max(i for i, m in enumerate(messages) if m["role"] == "assistant")
    answer = corpus.render([messages[last]])[0:2][1][0].removesuffix("<|im_end|>")
    return messages[:last], definitions, answer


def recalls(rng):
    return [last_turn(recall.recall(rng, corpus.aside_with_sums, unseen)) for _ in range(600)]


def needles(length, tokenizer, count):
    def make(rng):
        cases = []
        while len(cases) < count:
            low, high = length * 0.55, length * 0.85
            messages = recall.needle(rng, int(rng.uniform(low, high)), unseen, 1)
            if abs(len(tokenizer.encode(corpus.render(messages)[0][0], add_special_tokens=False)) - length) < length * 0.1:
                cases.append(last_turn(messages))
        return cases
    return make


def copies(draw):
    def make(rng):
        cases = []
        while len(cases) < 300:
            text = unseen("copy", draw, rng)
            cases.append((user(rng.choice(talk.REPEAT).replace("{t}", text)), None, text))
        return cases
    return make


def tool_calls(rng):
    """The first call of a conversation with unseen argument values; half of the tools are made up."""
    cases = []
    while len(cases) < 500:
        messages, definitions = tools.tools(rng, corpus.aside, unseen)
        cut = next((i for i, m in enumerate(messages) if m.get("tool_calls")), None)
        if cut is not None:
            cases.append(last_turn(messages[:cut + 1], definitions))
    return cases


def no_calls(rng):
    """Tools are there, but the question needs none."""
    cases = []
    while len(cases) < 200:
        _, definitions = tools.tools(rng, corpus.aside, unseen)
        c = rng.choice(COUNTRIES)
        cases.append((user(geo.fill(rng.choice(CAPITAL_HELD), c)), definitions, c.capital_answer))
    return cases


def after_results(rng):
    cases = []
    while len(cases) < 300:
        messages, definitions = tools.tools(rng, corpus.aside, unseen)
        cut = max((i for i, m in enumerate(messages) if m["role"] == "tool"), default=None)
        if cut is not None:
            cases.append(last_turn(messages[:cut + 2], definitions))
    return cases


def json_objects(rng):
    return [(user(q), None, corpus.text_of(a)) for _ in range(200) for q, a in tools.json_object(rng, unseen)]


def generate(model, tokenizer, cases, budget):
    """Greedy answers in batches, longest prompts together."""
    prompts = [tokenizer.apply_chat_template(m, tools=t, add_generation_prompt=True, tokenize=False) for m, t, _ in cases]
    expected = [len(tokenizer.encode(answer)) for _, _, answer in cases]
    order = sorted(range(len(cases)), key=lambda i: (expected[i] // 16, len(prompts[i])))
    answers, at = [None] * len(cases), 0
    while at < len(order):
        size = max(1, min(1024, budget // (len(prompts[order[min(at + 200, len(order) - 1)]]) // 3 + 40)))
        part = order[at:at + size]
        at += size
        batch = tokenizer([prompts[i] for i in part], return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False).to(model.device)
        with torch.no_grad():
            out = model.generate(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], do_sample=False,
                                 max_new_tokens=max(expected[i] for i in part) + 8)
        for i, row in zip(part, out[:, batch["input_ids"].shape[1]:].tolist()):
            end = row.index(2) if 2 in row else None
            answers[i] = tokenizer.decode(row[:end], skip_special_tokens=False) if end is not None else None
    return answers


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(pathlib.Path(__file__).parent / "model"))
    parser.add_argument("--limit", type=int, default=0, help="at most this many cases of each check")
    parser.add_argument("--failures", type=int, default=0, help="print this many wrong answers of each check")
    args = parser.parse_args()
    start = time.time()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).to(device).eval()
    checks = [
        ("capitals, unseen phrasings", capitals), ("capitals, all lower case", recased(str.lower)), ("capitals, all upper case", recased(str.upper)),
        ("capitals, follow-up questions", follow_ups), ("currencies, unseen phrasings", currencies),
        ("addition, two digits", sums("+", 10, 99)), ("addition, three digits", sums("+", 100, 999)),
        ("subtraction, two digits", sums("-", 10, 99)), ("subtraction, three digits", sums("-", 100, 999)), ("recall over turns", recalls),
        ("code word in 220 tokens", needles(220, tokenizer, 200)), ("code word in 1,000 tokens", needles(1000, tokenizer, 200)),
        ("code word in 2,000 tokens", needles(2000, tokenizer, 200)), ("code word in 3,500 tokens", needles(3500, tokenizer, 100)),
        ("copying sentences", copies(sentence)), ("copying made-up words", copies(lambda r: " ".join(made_up(r) for _ in range(r.randint(1, 12))))),
        ("copying random strings", copies(lambda r: random_string(r, r.randint(8, 30)))), ("tool calls", tool_calls),
        ("no call when none is needed", no_calls), ("answers after a tool result", after_results), ("JSON objects", json_objects),
    ]
    budget = 400_000 if device == "cuda" else 40_000
    figures = {}
    print("| check | cases | right | share |\n| --- | ---: | ---: | ---: |")
    for name, make in checks:
        rng = random.Random("evaluate " + name)
        cases = make(rng)
        if args.limit and len(cases) > args.limit:
            cases = rng.sample(cases, args.limit)
        answers = generate(model, tokenizer, cases, budget)
        wrong = [(c, a) for c, a in zip(cases, answers) if a != c[2]]
        right = len(cases) - len(wrong)
        figures[name] = round(right / len(cases), 4)
        print(f"| {name} | {len(cases)} | {right} | {100 * right / len(cases):.1f} % |", flush=True)
        for case, answer in wrong[:args.failures]:
            print("   ", repr(case[0][-1]["content"][-160:]), "wanted", repr(case[2]), "got", repr(answer))
    promised = generate(model, tokenizer, [(user("What is the capital of France?"), None, "The capital of France is Paris.")], budget)[0]
    figures["promised answer"] = promised
    figures["seconds"] = round(time.time() - start, 1)
    print(f"What is the capital of France? -> {promised!r}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
