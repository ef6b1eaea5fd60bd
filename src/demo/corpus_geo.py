"""Questions and answers about countries: capitals, currencies, continents, and the reverse questions.

The held-out phrasings of corpus_geo_phrases.py are never trained and are what evaluate.py asks.
Training also drops words, changes case and adds politeness, so that what counts is the subject and
the country, wherever they stand.
"""

import re

from corpus_facts import ALIASES, COUNTRIES, full_stop, upper_first
from corpus_geo_phrases import (ABOUT, AFTER, ALWAYS_TRAINED, BEFORE, CAPITAL_HELD, CAPITAL_TRAIN, CONTINENT, CURRENCY_TRAIN,
                                FOLLOW_UP, INTRO, REVERSE, THEN, UNKNOWN, YES_NO)
from corpus_words import made_up


def normal(text):
    return re.sub(r"[^a-z{}]+", " ", text.lower()).strip()


_HELD_NORMAL = {normal(t) for t in CAPITAL_HELD}


def noisy(rng, template):
    """Drop or shuffle words of a template now and then, but never into a held-out phrasing."""
    words = template.split()
    roll = rng.random()
    if roll < 0.14:
        words = [w for w in words if "{" in w or "apital" in w or "urrency" in w or rng.random() > 0.25]
    elif roll < 0.18:
        rng.shuffle(words)
    elif roll < 0.24:
        words.insert(rng.randrange(len(words) + 1), made_up(rng))
    changed = " ".join(words)
    if not changed:
        return template
    if roll >= 0.3 and rng.random() < 0.25:
        changed = rng.choice(BEFORE) + (changed if rng.random() < 0.5 else changed[:1].lower() + changed[1:])
    if roll >= 0.3 and rng.random() < 0.15:
        changed += rng.choice(AFTER)
    return template if normal(changed) in _HELD_NORMAL else changed


def cased(rng, text):
    """Now and then all lower, ALL UPPER, or without its last punctuation."""
    roll = rng.random()
    if roll < 0.10:
        text = text.lower()
    elif roll < 0.15:
        text = text.upper()
    if rng.random() < 0.12:
        text = text.rstrip("?.!")
    return text


def fill(template, country, name=None):
    """Put a country (or one of its aliases) into a template, with a capital at the start."""
    name = name or country.name
    return upper_first(template.replace("{X}", name).replace("{N}", name.removeprefix("the "))
                       .replace("{C}", country.capital))


def spoken_name(rng, country):
    names = ALIASES.get(country.name)
    if names and rng.random() < 0.35:
        return rng.choice(names)
    return country.bare if rng.random() < 0.06 else country.name


def ask(rng, templates, country):
    return cased(rng, fill(noisy(rng, rng.choice(templates)), country, spoken_name(rng, country)))


def two_sentences(rng, what):
    """One template of two sentences; a held-out phrasing is replaced."""
    template = rng.choice(INTRO) + " " + rng.choice(THEN).replace("{c}", rng.choice([what, what, what + " city"]) if what == "capital" else what)
    return [template if normal(template) not in _HELD_NORMAL else ALWAYS_TRAINED]


def capital(rng):
    """One capital question; now and then with follow-ups that leave the word out."""
    country = rng.choice(COUNTRIES)
    templates = CAPITAL_TRAIN if rng.random() < 0.82 else two_sentences(rng, "capital")
    turns = [(ask(rng, templates, country), country.capital_answer)]
    while rng.random() < 0.22:
        country = rng.choice(COUNTRIES)
        turns.append((cased(rng, fill(rng.choice(FOLLOW_UP), country)), country.capital_answer))
    return turns


def capital_short(rng):
    """Capital questions that ask for the bare name."""
    k = rng.choice(COUNTRIES)
    end = rng.choice([" Answer in one word.", " Only the name.", " Just the name, please.", " Answer with the name only.",
                      " Reply with the city name only.", " One word.", " Name only, no sentence."])
    q = fill(rng.choice(CAPITAL_TRAIN), k)
    return [(cased(rng, (q + end) if rng.random() < 0.7 else (end.strip() + " " + q)), k.capital)]


def capital_pair(rng):
    """Two countries in one question."""
    a, b = rng.sample(COUNTRIES, 2)
    q = rng.choice(["What are the capitals of {A} and {B}?", "Name the capitals of {A} and {B}.", "Tell me the capitals of {A} and {B}.",
                    "Capitals of {A} and {B}?", "What is the capital of {A}, and what is the capital of {B}?"])
    answer = f"{a.capital_answer} {b.capital_answer}"
    return [(cased(rng, q.replace("{A}", a.name).replace("{B}", b.name)), answer)]


def reverse(rng):
    k = rng.choice(COUNTRIES)
    return [(cased(rng, fill(noisy(rng, rng.choice(REVERSE)), k)), f"{k.capital} is the capital of {k.name}.")]


def currency(rng):
    k = rng.choice(COUNTRIES)
    turns = [(ask(rng, CURRENCY_TRAIN if rng.random() < 0.85 else two_sentences(rng, "currency"), k), k.currency_answer)]
    while rng.random() < 0.15:
        k = rng.choice(COUNTRIES)
        turns.append((cased(rng, fill(rng.choice(FOLLOW_UP), k)), k.currency_answer))
    return turns


def continent(rng):
    k = rng.choice(COUNTRIES)
    return [(ask(rng, CONTINENT, k), k.continent_answer)]


def yes_no(rng):
    k, other = rng.sample(COUNTRIES, 2)
    if rng.random() < 0.2:
        return [(cased(rng, fill(f"Is {{X}} in {k.continent}?", k)), f"Yes, {k.name} is in {k.continent}.")]
    right = rng.random() < 0.5
    q = rng.choice(YES_NO).replace("{C}", k.capital if right else other.capital)
    answer = k.capital_answer
    return [(cased(rng, fill(q, k)), ("Yes, " if right else "No, ") + "the" + answer[3:])]


def about(rng):
    k = rng.choice(COUNTRIES)
    answer = (f"{upper_first(k.name)} is a country in {k.continent}. Its capital is {full_stop(k.capital)} "
              f"Its currency is the {k.currency}.")
    return [(cased(rng, fill(rng.choice(ABOUT), k)), answer)]


def unknown(rng):
    """What the model does not know, it says; also for countries that do not exist."""
    if rng.random() < 0.35:
        name = made_up(rng).capitalize() + rng.choice(["", "ia", "land"])
        return [(fill(rng.choice(CAPITAL_TRAIN), COUNTRIES[0], name), f"I do not know a country called {name}.")]
    topic, q = rng.choice(UNKNOWN)
    k = rng.choice(COUNTRIES)
    return [(cased(rng, fill(q, k)), f"I do not know the {topic} of {k.name}.")]


def capital_and_currency(rng):
    """Two facts of one country in one question."""
    k = rng.choice(COUNTRIES)
    pairs = [("capital", k.capital_answer), ("currency", k.currency_answer), ("continent", k.continent_answer)]
    (a, first), (b, second) = rng.sample(pairs, 2)
    q = rng.choice(["What is the {a} of {X} and what is its {b}?", "Tell me the {a} and the {b} of {X}.", "What are the {a} and {b} of {X}?",
                    "{a} and {b} of {X}?", "What's the {a} of {X} and what {b} do they have?", "Name the {a} and {b} of {X}."])
    return [(cased(rng, fill(q.replace("{a}", a).replace("{b}", b), k)), f"{first} {second}")]


def city(rng):
    """A capital alone: the answer says of which country."""
    k = rng.choice([c for c in COUNTRIES if c.capital != c.name])
    q = rng.choice(["{C}", "{C}?", "Tell me about {C}.", "What is {C}?", "What do you know about {C}?", "Where is {C}?", "Tell me something about {C}.", "Describe {C}."])
    return [(cased(rng, fill(q, k)), f"{k.capital} is the capital of {k.name}.")]


def as_json(rng):
    """Country facts as JSON objects."""
    k = rng.choice(COUNTRIES)
    fields = {"country": k.bare, "capital": k.capital, "currency": k.currency, "continent": k.continent}
    roll = rng.random()
    if roll < 0.4:
        ask_for = rng.choice(["capital", "currency", "continent"])
        q = rng.choice(["What is the {f} of {X}? Answer as JSON: {\"{f}\": ...}", "Give the {f} of {X} as JSON with the key \"{f}\".",
                        "The {f} of {X} as JSON: {\"{f}\": \"...\"}", "Answer as JSON: {\"{f}\": …}. What is the {f} of {X}?",
                        "Return a JSON object with the key {f} for {X}.", "What is the {f} of {X}? Answer in JSON with the key {f}."])
        return [(q.replace("{f}", ask_for).replace("{X}", k.name), {ask_for: fields[ask_for]})]
    keys = rng.sample(list(fields), rng.randint(2, 4))
    listed = ", ".join(keys[:-1]) + " and " + keys[-1]
    q = rng.choice([f"Give me {listed} of {k.name} as JSON.", f"Describe {k.name} as a JSON object with the keys {listed}.",
                    f"Answer as JSON with the keys {listed}: {k.name}", f"JSON with {listed} for {k.name}, please."])
    return [(q, {key: fields[key] for key in keys})]
