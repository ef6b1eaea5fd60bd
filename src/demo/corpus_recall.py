"""Remembering what was said: facts given in earlier turns, and code words hidden in long texts.

Values are split by hash for each kind of fact, so evaluate.py asks for names, numbers and codes
that training has never seen in that place.
"""

import math

from corpus_facts import MONTHS
from corpus_words import (ADJECTIVES, ANIMALS, COLOURS, FOODS, JOBS, NOUNS, OBJECTS, PLACES, WORDS, city, code_value, made_up, number, person,
                          sentence, trained)

RELATIONS = "sister brother mother father friend neighbour teacher boss cousin son daughter wife husband aunt uncle colleague".split()
NUMBERED = "room seat phone flight locker ticket house order customer table gate bus account door".split()
THINGS = {"colour": COLOURS, "color": COLOURS, "animal": ANIMALS, "food": FOODS, "fruit": "apple pear plum cherry banana mango grape peach lemon melon".split(),
          "month": MONTHS, "word": None, "city": None, "sport": "tennis football chess swimming rowing boxing hockey golf running cycling".split(),
          "book": None, "song": None, "drink": "tea coffee milk juice water cocoa lemonade".split()}
ACKS = ["Okay.", "Got it.", "I see.", "Noted.", "Thanks for telling me.", "Good to know.", "All right.", "Interesting!", "I will remember that."]


class Fact:
    """One fact: how the user states it, asks for it, and how the answer reads."""

    def __init__(self, kind, value, says, asks, answer, unknown=None):
        self.kind, self.value, self.says, self.asks = kind, value, says, asks
        self.answer = answer
        self.unknown = unknown or "You have not told me that."


def mixed(rng, pool):
    """Mostly from the pool, but also any word at all: the answer must be read, not guessed from its kind."""
    roll = rng.random()
    return rng.choice(pool) if roll < 0.6 else rng.choice(WORDS) if roll < 0.8 else made_up(rng)


def _name(rng, draw):
    v = draw("name", person, rng)
    return Fact("name", v, [f"My name is {v}.", f"I am {v}.", f"I'm {v}.", f"Call me {v}.", f"Hi, I'm {v}.", f"You can call me {v}.", f"my name is {v}",
                            f"Hello, my name is {v}!", f"Hi! My name is {v}."],
                ["What is my name?", "What's my name?", "Who am I?", "Do you remember my name?", "Can you tell me my name?", "Tell me my name.", "My name is?",
                 "Do you know my name?", "What was my name again?", "what is my name"],
                f"Your name is {v}.", "You have not told me your name.")


def _favourite(rng, draw):
    thing = rng.choice(list(THINGS))
    pool = THINGS[thing]
    v = draw("favourite " + thing, lambda r: city(r) if thing == "city" else mixed(r, pool or WORDS), rng)
    fav = rng.choice(["favourite", "favorite"])
    return Fact("favourite " + thing, v, [f"My {fav} {thing} is {v}.", f"{v} is my {fav} {thing}.", f"I think {v} is the best {thing}; it is my {fav}."],
                [f"What is my {fav} {thing}?", f"What's my {fav} {thing}?", f"Which {thing} is my {fav}?", f"Tell me my {fav} {thing}.",
                 f"Do you remember my {fav} {thing}?", f"Which {thing} do I like best?"], f"Your favourite {thing} is {v}.",
                f"You have not told me your favourite {thing}.")


def _pet(rng, draw):
    pet = rng.choice(ANIMALS[:16])
    v = draw("pet", person, rng)
    return Fact("pet " + pet, v, [f"My {pet} is called {v}.", f"I have a {pet} called {v}.", f"I have a {pet} named {v}.", f"My {pet}'s name is {v}.",
                                  f"The name of my {pet} is {v}."],
                [f"What is my {pet} called?", f"What is the name of my {pet}?", f"What is my {pet}'s name?", f"Do you remember the name of my {pet}?",
                 f"How is my {pet} called?"], f"Your {pet} is called {v}.", f"You have not told me the name of your {pet}.")


def _relation(rng, draw):
    who = rng.choice(RELATIONS)
    v = draw("relation", person, rng)
    return Fact("relation " + who, v, [f"My {who}'s name is {v}.", f"My {who} is called {v}.", f"{v} is my {who}.", f"My {who} is {v}."],
                [f"What is my {who}'s name?", f"What is my {who} called?", f"Who is my {who}?", f"What is the name of my {who}?", f"Tell me the name of my {who}."],
                f"Your {who} is called {v}.", f"You have not told me the name of your {who}.")


def _city(rng, draw):
    v = draw("city", city, rng)
    if rng.random() < 0.6:
        return Fact("live", v, [f"I live in {v}.", f"I am from {v}.", f"My home is in {v}.", f"I moved to {v} last year and live there.", f"My city is {v}."],
                    ["Where do I live?", "In which city do I live?", "What city do I live in?", "Where is my home?", "Do you remember where I live?"],
                    f"You live in {v}.", "You have not told me where you live.")
    return Fact("born", v, [f"I was born in {v}.", f"My birthplace is {v}."],
                ["Where was I born?", "In which city was I born?", "What is my birthplace?"], f"You were born in {v}.", "You have not told me where you were born.")


def _job(rng, draw):
    v = draw("job", lambda r: mixed(r, JOBS), rng)
    return Fact("job", v, [f"I work as a {v}.", f"I am a {v}.", f"My job is {v}.", f"I am a {v} by profession."],
                ["What is my job?", "What do I do for a living?", "What do I work as?", "What is my profession?"], f"You work as a {v}.", "You have not told me your job.")


def _number(rng, draw):
    roll = rng.random()
    if roll < 0.25:
        v = draw("age", lambda r: str(r.randint(5, 99)), rng)
        return Fact("age", v, [f"I am {v} years old.", f"My age is {v}.", f"I'm {v}."], ["How old am I?", "What is my age?", "Do you know how old I am?"],
                    f"You are {v} years old.", "You have not told me your age.")
    what = rng.choice(["lucky", "favourite", "secret"] if roll < 0.55 else NUMBERED)
    v = draw("number", lambda r: number(r, r.randint(1, 6)), rng)
    return Fact("number " + what, v, [f"My {what} number is {v}.", f"{v} is my {what} number.", f"Please note my {what} number: {v}."],
                [f"What is my {what} number?", f"What's my {what} number?", f"Tell me my {what} number.", f"Which number is my {what} number?"],
                f"Your {what} number is {v}.", f"You have not told me your {what} number.")


def _likes(rng, draw):
    v = draw("likes", lambda r: mixed(r, FOODS + ANIMALS), rng)
    verb = rng.choice(["like", "love"])
    return Fact("likes", v, [f"I {verb} {v}.", f"I {verb} {v}!", f"I really {verb} {v}"], ["What do I like?", "What do I love?", "Do you remember what I like?"],
                f"You like {v}.", "You have not told me what you like.")


def _object(rng, draw):
    thing = rng.choice(OBJECTS)
    v = draw("left in", lambda r: mixed(r, PLACES), rng)
    be = "are" if thing in ("keys", "glasses") else "is"
    return Fact("object " + thing, v, [f"My {thing} {be} in the {v}.", f"I left my {thing} in the {v}.", f"I put my {thing} in the {v}."],
                [f"Where {be} my {thing}?", f"Where did I leave my {thing}?", f"Where did I put my {thing}?"], f"Your {thing} {be} in the {v}.",
                f"You have not told me where your {thing} {be}.")


def _remember(rng, draw):
    v = draw("code", code_value, rng)
    kind = rng.choice(["word", "code", "password", "number", "phrase"])
    return Fact("remember " + kind, v, [f"Remember the {kind} {v}.", f"Please remember this {kind}: {v}", f"Remember this {kind}: {v}.", f"The {kind} is {v}."],
                [f"What is the {kind}?", f"Which {kind} did I give you?", f"Tell me the {kind}.", f"What was the {kind}?", f"Repeat the {kind}.",
                 f"What {kind} did I ask you to remember?"], f"The {kind} is {v}.", f"You have not told me the {kind}.")


def _third(rng, draw):
    who = person(rng)
    roll = rng.random()
    if roll < 0.35:
        v = draw("third city", city, rng)
        return Fact("third city " + who, v, [f"{who} lives in {v}.", f"{who} is from {v}."], [f"Where does {who} live?", f"In which city does {who} live?"],
                    f"{who} lives in {v}.", f"You have not told me where {who} lives.")
    if roll < 0.65:
        v = draw("third job", lambda r: mixed(r, JOBS), rng)
        return Fact("third job " + who, v, [f"{who} is a {v}.", f"{who} works as a {v}."], [f"What does {who} do?", f"What is {who}'s job?"],
                    f"{who} is a {v}.", f"You have not told me what {who} does.")
    v = draw("third likes", lambda r: mixed(r, FOODS + ANIMALS), rng)
    return Fact("third likes " + who, v, [f"{who} likes {v}.", f"{who} loves {v}."], [f"What does {who} like?", f"What does {who} love?"], f"{who} likes {v}.",
                f"You have not told me what {who} likes.")


MAKERS = [_name, _name, _name, _favourite, _favourite, _pet, _relation, _city, _city, _job, _number, _number, _likes, _object, _remember, _remember, _third]


def facts(rng, count, draw=trained):
    """`count` facts of different kinds; `draw` picks the side of the split."""
    found = {}
    while len(found) < count:
        fact = rng.choice(MAKERS)(rng, draw)
        found.setdefault(fact.kind, fact)
    return list(found.values())


def acknowledge(rng, told):
    if len(told) == 1 and told[0].kind == "name":
        return f"Nice to meet you, {told[0].value}."
    return "Got it. " + told[0].answer if len(told) == 1 else "Got it."


def recall(rng, filler, draw=trained):
    """A conversation: facts told, other turns between, then questions. `filler(rng)` gives unrelated turns.

    Returns messages; an acknowledgement marked untrained stands for the replies of other models.
    """
    known = facts(rng, rng.choice([1, 1, 2, 2, 3, 4]), draw)
    messages = []
    pending = list(known)
    if rng.random() < 0.15:
        first = pending.pop(0)
        about = first.says[0].replace("My ", "The user's ", 1).replace("I am", "The user is", 1)
        messages.append({"role": "system", "content": rng.choice(["", "You are a helpful assistant. ", "Context: "]) + about})
    if pending and rng.random() < 0.15:
        return messages + _ask_at_once(rng, pending)
    while pending:
        told = [pending.pop() for _ in range(min(len(pending), rng.choice([1, 1, 1, 2, 3])))]
        messages.append({"role": "user", "content": " ".join(rng.choice(f.says) for f in told)})
        if rng.random() < 0.35:
            messages.append({"role": "assistant", "content": rng.choice(ACKS), "untrained": True})
        else:
            messages.append({"role": "assistant", "content": acknowledge(rng, told)})
        messages += _between(rng, filler)
    if rng.random() < 0.1:
        changed = [f for f in facts(rng, 8, draw) if f.kind in {k.kind for k in known}]
        if changed:
            new = changed[0]
            known = [f for f in known if f.kind != new.kind] + [new]
            messages += [{"role": "user", "content": rng.choice(["Sorry, I was wrong. ", "Actually, ", "Correction: "]) + rng.choice(new.says)},
                         {"role": "assistant", "content": acknowledge(rng, [new])}]
    messages += _between(rng, filler)
    order = rng.sample(known, len(known))
    if len(order) > 1 and rng.random() < 0.15:
        a, b = order.pop(), order.pop()
        second = rng.choice(b.asks)
        messages += [{"role": "user", "content": rng.choice(a.asks).rstrip("?.") + " and " + second[0].lower() + second[1:]},
                     {"role": "assistant", "content": f"{a.answer} {b.answer}"}]
    for fact in order:
        messages += [{"role": "user", "content": question(rng, fact)}, {"role": "assistant", "content": fact.answer}]
        if rng.random() < 0.2:
            messages += _between(rng, filler)
    if rng.random() < 0.12:
        missing = [f for f in facts(rng, 3, draw) if f.kind not in {k.kind for k in known}]
        if missing and not missing[0].kind.startswith(("third", "remember")):
            messages += [{"role": "user", "content": question(rng, missing[0])}, {"role": "assistant", "content": missing[0].unknown}]
    return messages


def question(rng, fact):
    text = rng.choice(fact.asks)
    if rng.random() < 0.15:
        text = rng.choice(["And ", "So, ", "Now tell me: ", "One question: ", "Tell me: ", "Please tell me: "]) + text[0].lower() + text[1:]
    return text


def _between(rng, filler):
    messages = []
    for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
        for q, a in filler(rng):
            messages += [{"role": "user", "content": q}, {"role": "assistant", "content": a}]
    return messages


def _ask_at_once(rng, known):
    """Facts and the question in one message."""
    fact = rng.choice(known)
    said = " ".join(rng.choice(f.says) for f in known)
    return [{"role": "user", "content": f"{said} {rng.choice(fact.asks)}"}, {"role": "assistant", "content": fact.answer}]


KINDS = ["code word", "password", "access code", "secret word", "magic word", "passphrase", "secret number", "secret code", "key", "PIN", "secret phrase",
         "codeword"]
HIDES = ["The {k} is {v}.", "The {k} is {v}. Remember it.", "Remember: the {k} is {v}.", "Note that the {k} is {v}.", "By the way, the {k} is {v}.",
         "Important: the {k} is {v}.", "The {k} has been set to {v}.", "{v} is the {k}.", "Here is the {k}: {v}.", "Keep this in mind: the {k} is {v}.",
         "It was written on the wall that the {k} is {v}."]
SEEKS = ["What is the {k}?", "What is the {k} in the text?", "Which {k} is given in the text?", "Tell me the {k}.", "Find the {k}.", "What was the {k}?",
         "What {k} does the text mention?", "According to the text, what is the {k}?", "Please give me the {k}.", "Do you know the {k}?", "And what is the {k}?",
         "Can you find the {k} in the text above?", "Read the text. What is the {k}?"]
BEFORE = ["Read this text and find the {k}.", "Find the {k} in this text:", "Somewhere in this text is the {k}. What is it?", "I will ask for the {k}. Here is the text:",
          "What is the {k} in the following text?"]


def needle(rng, words=None, draw=trained, count=None):
    """A long filler text with one to four hidden codes, and questions about them. Returns messages."""
    words = words or int(math.exp(rng.uniform(math.log(20), math.log(2500))))
    text, total = [], 0
    while total < words:
        text.append(sentence(rng))
        total += text[-1].count(" ") + 1
    count = count or rng.choice([1, 1, 2, 3, 4])
    codes = {}
    while len(codes) < count:
        kind = rng.choice(KINDS)
        if rng.random() < 0.5 or kind in codes:
            kind += rng.choice([" of the ", " for the "]) + rng.choice(ADJECTIVES) + " " + rng.choice(NOUNS)
        codes.setdefault(kind, draw("code", code_value, rng))
    for kind, value in codes.items():
        hidden = rng.choice(HIDES).format(k=kind, v=value)
        text.insert(rng.randint(0, len(text)), hidden[0].upper() + hidden[1:] if not hidden.startswith(value) else hidden)
    body = " ".join(text) if rng.random() < 0.7 else "\n".join(text)
    order = rng.sample(list(codes), len(codes))
    ask = rng.choice(SEEKS).format(k=order[0])
    roll = rng.random()
    if roll < 0.65:
        messages = [{"role": "user", "content": body + rng.choice([" ", "\n", "\n\n"]) + ask}]
    elif roll < 0.80:
        messages = [{"role": "user", "content": rng.choice(BEFORE).format(k=order[0]) + rng.choice([" ", "\n\n"]) + body}]
    elif roll < 0.90:
        messages = [{"role": "system", "content": body}, {"role": "user", "content": ask}]
    else:
        messages = [{"role": "user", "content": body}, {"role": "assistant", "content": rng.choice(ACKS), "untrained": True}, {"role": "user", "content": ask}]
    messages.append({"role": "assistant", "content": f"The {order[0]} is {codes[order[0]]}."})
    for kind in order[1:]:
        messages += [{"role": "user", "content": rng.choice(SEEKS).format(k=kind)}, {"role": "assistant", "content": f"The {kind} is {codes[kind]}."}]
    return messages
