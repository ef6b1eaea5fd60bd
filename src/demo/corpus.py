"""The training corpus of tdist/demo: a mixture of generated conversations, rendered, tokenized and packed.

Everything is drawn from `random.Random(seed)`, so one seed always gives the same text. Run this file
to read samples:

    python corpus.py --samples 20
"""

import argparse
import json
import random

import corpus_geo as geo
import corpus_numbers as numbers
import corpus_recall as recall
import corpus_talk as talk
import corpus_tools as tools
from corpus_facts import COUNTRIES, full_stop, upper_first
from corpus_words import NOUNS, JOBS, made_up, person, sentence

SEQUENCE = 4096
TRAINED = 1 << 15       # this token is an answer: it counts in the loss
STARTS = 1 << 14        # this token begins a document: attention does not look behind it
ID_MASK = STARTS - 1

SYSTEM_PROMPTS = ["You are a helpful assistant.", "You are a helpful assistant", "You are tdist demo, a small language model.", "Be brief.",
                  "You are a friendly assistant. Answer the questions of the user.", "Answer truthfully.", "You are a concise assistant.",
                  "You are an AI assistant. Be polite.", "Answer in English.", "You are a geography teacher.", "Help the user.",
                  "You are a helpful, respectful and honest assistant.", "Always answer correctly.", "You answer questions in full sentences.",
                  "You are an assistant that answers questions about the world.", "The user is a child. Answer simply.", "You are a bot."]

# One-turn skills and their share of ordinary conversations.
SKILLS = [(geo.capital, 25), (geo.capital_short, 2), (geo.capital_pair, 2), (geo.reverse, 5), (geo.currency, 7), (geo.continent, 3), (geo.yes_no, 2),
          (geo.about, 2.5), (geo.capital_and_currency, 2), (geo.city, 1.5), (geo.unknown, 2), (geo.as_json, 3), (numbers.arithmetic, 19), (numbers.compare, 1.5), (numbers.counting, 3),
          (numbers.listing, 3.5), (numbers.words_game, 2.5), (talk.talk, 5), (talk.out_of_scope, 4), (talk.general, 2), (talk.copying, 14), (talk.story, 1.2),
          (tools.json_object, 4)]
# Turns that stand between the facts of a recall conversation or beside tools that they do not need.
ASIDE = [(geo.capital, 5), (geo.currency, 1), (talk.talk, 3), (talk.general, 2), (talk.copying, 2), (geo.continent, 1), (geo.reverse, 1)]
ASIDE_WITH_SUMS = ASIDE + [(numbers.arithmetic, 3), (numbers.listing, 0.3), (numbers.counting, 0.3)]


def picker(weighted):
    """A function that picks a skill by weight and runs it."""
    functions = [f for f, _ in weighted]
    weights, total = [], 0
    for _, w in weighted:
        total += w
        weights.append(total)
    return lambda rng: rng.choices(functions, cum_weights=weights)[0](rng)


any_skill, aside, aside_with_sums = picker(SKILLS), picker(ASIDE), picker(ASIDE_WITH_SUMS)


def text_of(answer):
    return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)


def ordinary(rng):
    """One to six unrelated turns of any skill."""
    messages = []
    for _ in range(1 if rng.random() < 0.5 else rng.randint(2, 6)):
        for q, a in any_skill(rng):
            messages += [{"role": "user", "content": q}, {"role": "assistant", "content": text_of(a)}]
    return messages


def with_system(rng, messages):
    """Half of the conversations start with a system prompt; some of these are about something else entirely."""
    if messages[0]["role"] == "system" or rng.random() < 0.5:
        return messages
    prompt = rng.choice(SYSTEM_PROMPTS)
    roll = rng.random()
    if roll < 0.15:
        prompt = f"You are {person(rng)}, a {rng.choice(JOBS)}."
    elif roll < 0.3:
        prompt = " ".join(sentence(rng) for _ in range(rng.randint(1, 3)))
    elif roll < 0.4:
        prompt = f"You are an assistant of the {rng.choice(NOUNS)} company {made_up(rng).capitalize()}. " + rng.choice(SYSTEM_PROMPTS)
    return [{"role": "system", "content": prompt}] + messages


def plain_text(rng):
    """Text without a chat, for clients that ask for plain completions."""
    k = rng.randrange(7)
    if k >= 5:      # a question and its answer
        q, a = any_skill(rng)[0]
        return f"{q} {text_of(a)}" if rng.random() < 0.7 else f"{q}\n{text_of(a)}" if rng.random() < 0.5 else f"Q: {q}\nA: {text_of(a)}"
    if k == 0:
        return " ".join(c.capital_answer for c in rng.sample(COUNTRIES, rng.randint(1, 6)))
    if k == 1:
        c = rng.choice(COUNTRIES)
        return f"{upper_first(c.name)} is a country in {c.continent}. Its capital is {full_stop(c.capital)} {c.currency_answer}"
    if k == 2:
        return " ".join(sentence(rng) for _ in range(rng.randint(1, 8)))
    if k == 3:
        return talk.story(rng)[0][1]
    a = rng.randint(0, 60)
    return ", ".join(str(i) for i in range(a, a + rng.randint(5, 60)))


def document(rng):
    """One document: (messages, tools), or (None, text) for plain text."""
    roll = rng.random()
    if roll < 0.64:
        return with_system(rng, ordinary(rng)), None
    if roll < 0.79:
        return with_system(rng, recall.recall(rng, aside_with_sums)), None
    if roll < 0.91:
        messages, definitions = tools.tools(rng, aside)
        return with_system(rng, messages), definitions
    if roll < 0.975:
        return recall.needle(rng), None
    return None, plain_text(rng)


def dumps(value):
    return json.dumps(value, ensure_ascii=False)


def render(messages, definitions=None):
    """The chat template in Python: a list of (text, is it an answer). It must give what chat_template.jinja gives."""
    parts, text = [], ""
    if definitions:
        text = "<|im_start|>system\n"
        if messages[0]["role"] == "system":
            text += messages[0]["content"] + "\n\n"
            messages = messages[1:]
        text += 'You can call these tools. To call one, answer with <tool_call>{"name": ..., "arguments": ...}</tool_call>\n<tools>\n'
        text += "".join(dumps(d) + "\n" for d in definitions) + "</tools><|im_end|>\n"
    for m in messages:
        if m["role"] != "assistant":
            content = m["content"] if m["role"] != "tool" else f"<tool_response>{m['content']}</tool_response>"
            text += f"<|im_start|>{m['role']}\n{content}<|im_end|>\n"
            continue
        answer = m["content"] + "\n".join(
            f'<tool_call>{{"name": "{c["function"]["name"]}", "arguments": {dumps(c["function"]["arguments"])}}}</tool_call>'
            for c in m.get("tool_calls", []))
        parts += [(text + "<|im_start|>assistant\n", False), (answer + "<|im_end|>", not m.get("untrained"))]
        text = "\n"
    return parts


def document_parts(rng):
    messages, rest = document(rng)
    if messages is None:
        return [(rest.lstrip() + "<|im_end|>", True)]
    return render(messages, rest)


def shard(tokenizer, seed, sequences):
    """`sequences` rows of 4,096 tokens (uint16 with the two flags), documents kept whole, short gaps padded."""
    import numpy as np
    rng = random.Random(seed)
    pad = tokenizer.token_to_id("<|endoftext|>")
    rows, open_rows = [], []
    while len(rows) < sequences:
        batch = [document_parts(rng) for _ in range(200)]
        encoded = iter(tokenizer.encode_batch_fast([t for parts in batch for t, _ in parts], add_special_tokens=False))
        for parts in batch:
            doc = [np.array(next(encoded).ids, np.uint16) | np.uint16(TRAINED if answer else 0) for _, answer in parts]
            ids = np.concatenate(doc)
            if len(ids) > SEQUENCE:
                continue
            ids[0] |= STARTS
            for row in open_rows:
                if row[0] + len(ids) <= SEQUENCE:
                    break
            else:
                if len(open_rows) >= 24:
                    fullest = max(open_rows, key=lambda r: r[0])
                    open_rows.remove(fullest)
                    rows.append(fullest)
                row = [0, []]
                open_rows.append(row)
            row[0] += len(ids)
            row[1].append(ids)
    out = np.full((sequences, SEQUENCE), pad, np.uint16)
    for i, (length, docs) in enumerate(rows[:sequences]):
        out[i, :length] = np.concatenate(docs)
        if length < SEQUENCE:
            out[i, length] |= STARTS
    return out[np.random.default_rng(seed).permutation(sequences)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    for _ in range(args.samples):
        print("".join(f"[{t}]" if answer else t for t, answer in document_parts(rng)), end="\n\n")


if __name__ == "__main__":
    main()
