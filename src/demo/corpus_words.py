"""Words, names, random strings and filler sentences, and the one rule that splits training from held-out.

Everything the model must copy rather than know (names, codes, quoted text) is drawn from wide pools
and from made-up words, so that copying is learned as a skill and not as a list.
"""

import hashlib
import re
import string

_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])")

SYLLABLES = ("ba be bi bo bu ca ce co da de di do du fa fe fi fo ga ge go ha he hi ho ja jo ka ke ki ko la le li lo lu "
             "ma me mi mo mu na ne ni no nu pa pe pi po ra re ri ro ru sa se si so su ta te ti to tu va ve vi vo wa we "
             "wi ya yo za ze zi zo ar en il on ur an el is ob ut ast ent ing ord ulf bran crel drin flor grim plen "
             "quin shar stel thor trem vex wyn zeph").split()
NAMES = ("Anna Ben Carla David Emma Felix Grace Henry Ines Jack Karin Leo Maria Noah Olivia Paul Rosa Sam Tina Victor "
         "Wendy Yusuf Zoe Amir Bianca Chen Diego Elena Farid Gita Hassan Ivan Julia Kofi Lena Mateo Nadia Omar Priya "
         "Quentin Ravi Sofia Tariq Uma Vera Walter Ximena Yara Zane Alice Bob Charlie Dora Erik Fatima George Hana "
         "Isaac Jane Kurt Lucy Martin Nina Oscar Petra Robert Sarah Thomas Ursula Vincent William Aisha Bruno Clara "
         "Daniel Esther Frank Greta Hugo Irene James Kate Luis Mia Nora Otto Peter Ruth Simon Tom Mary John Lisa "
         "Linda Mark Susan Tim Laura Kevin Brian Amy Adam Eve").split()
COLOURS = ("red blue green yellow purple orange black white brown pink grey silver golden turquoise violet crimson "
           "indigo scarlet beige olive teal maroon").split()
ANIMALS = ("dog cat horse rabbit parrot hamster turtle goldfish pony lizard snake frog mouse fox wolf bear owl eagle "
           "sheep goat cow pig duck goose hen donkey camel tiger lion monkey penguin dolphin whale otter beaver "
           "squirrel hedgehog badger deer moose").split()
FOODS = ("pizza pasta rice soup salad bread cheese chocolate sushi curry pancakes apples mangoes noodles dumplings "
         "tacos waffles strawberries potatoes").split() + ["ice cream"]
JOBS = ("baker teacher nurse pilot farmer carpenter painter doctor lawyer gardener plumber writer singer chef driver "
        "engineer librarian mechanic dentist sailor photographer electrician tailor waiter programmer").split()
CITIES = ("Oslo Paris Berlin Madrid Rome Vienna Tokyo Lima Cairo Boston Chicago Sydney Toronto Dublin Lisbon Prague "
          "Hamburg Munich Lyon Milan Porto Seville Osaka Mumbai Lagos Nairobi Denver Seattle Austin Houston Geneva "
          "Zurich Krakow Bergen Malmo Antwerp Glasgow Leeds Bristol York Naples Turin Valencia Kyoto Busan Perth "
          "Auckland London Moscow Delhi").split()
OBJECTS = ("keys wallet phone book umbrella bag glasses hat watch passport camera ticket notebook laptop coat ring "
           "scarf guitar bottle lamp").split()
PLACES = ("kitchen garden garage office bedroom library cellar attic car hallway bathroom shed school church "
          "station hotel").split() + ["living room"]
NOUNS = ("river mountain village bridge garden market tower forest harbour castle road valley island farm house "
         "window door table chair lamp clock letter boat train wagon basket mirror candle blanket hammer ladder "
         "kettle piano drum flag stone cloud storm meadow orchard fountain lantern wheel compass map coin barrel rope "
         "anchor bell carpet drawer shelf engine bicycle museum theatre bakery school station square path gate wall "
         "roof cellar field lake desert canyon beach cave hill pond stream signal printer server cable engine").split()
ADJECTIVES = ("old small quiet bright cold warm heavy narrow wide empty busy gentle wooden golden silver dusty broken "
              "green red blue yellow dark pale round tall short famous hidden strange simple early late slow quick "
              "soft hard clean dirty lonely friendly ancient modern muddy rusty smooth steep shallow deep calm noisy "
              "plain tiny huge curious patient").split()
VERBS = ("watched painted repaired carried followed cleaned visited found described moved opened closed measured "
         "built crossed remembered forgot admired sold bought hid counted drew lifted borrowed guarded photographed "
         "noticed studied left").split()
PEOPLE = ("farmer teacher sailor baker doctor child traveller neighbour gardener painter driver student guard miller "
          "fisherman musician shepherd clerk engineer librarian carpenter merchant grandmother uncle visitor").split()
ADVERBS = ("slowly quietly carefully suddenly often rarely gladly quickly calmly sometimes again finally eagerly "
           "patiently silently early late twice").split()
TIMES = ("in the morning|at noon|in the evening|at night|on Monday|in spring|last winter|after the rain|before dawn|"
         "during the festival|in the afternoon|every summer|a long time ago|the next day|in those days|around midnight|"
         "on a Tuesday|at the weekend|in late autumn|years later").split("|")
WEATHER = "rain snow wind fog sunshine thunder frost hail drizzle mist".split()
WORDS = sorted(set(NOUNS + ADJECTIVES + ANIMALS + COLOURS + JOBS + FOODS + OBJECTS + PLACES))


def held_out(kind, *parts, one_in=10):
    """True for the fixed share of `parts` that training must never see; the same on every machine."""
    key = "\x1f".join([kind, *map(str, parts)]).encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=4).digest(), "big") % one_in == 0


def split_list(kind, items, one_in):
    """Split a list into (training, held-out) by `held_out`."""
    return ([t for t in items if not held_out(kind, t, one_in=one_in)],
            [t for t in items if held_out(kind, t, one_in=one_in)])


def made_up(rng):
    """A made-up word of two to four syllables."""
    return "".join(rng.choices(SYLLABLES, k=rng.randint(2, 4)))


def person(rng):
    """A name; half are made up, so that the model copies names it has not seen."""
    return rng.choice(NAMES) if rng.random() < 0.5 else made_up(rng).capitalize()


def city(rng):
    return rng.choice(CITIES) if rng.random() < 0.6 else made_up(rng).capitalize()


def number(rng, digits=None):
    digits = digits or rng.randint(1, 6)
    return str(rng.randint(10 ** (digits - 1) if digits > 1 else 0, 10 ** digits - 1))


def random_string(rng, length=None):
    """Letters and digits in one of several styles: ids, hex, keys, plain letters, mixed punctuation."""
    n = length or rng.randint(3, 16)
    style = rng.randrange(6)
    if style == 0:
        return "".join(rng.choices(string.ascii_lowercase, k=n))
    if style == 1:
        return "".join(rng.choices(string.ascii_uppercase, k=n))
    if style == 2:
        return "".join(rng.choices(string.ascii_letters + string.digits, k=n))
    if style == 3:
        return "".join(rng.choices("0123456789abcdef", k=n))
    if style == 4:
        return "-".join("".join(rng.choices(string.ascii_uppercase + string.digits, k=rng.randint(2, 4)))
                        for _ in range(max(2, n // 4)))
    return "".join(rng.choices(string.ascii_letters + string.digits + "_-.:/#@!?+*=()[]{}<>&%$,;", k=n))


def code_value(rng):
    """A secret for recall and needle tasks: a word, a number, an id or two words."""
    kind = rng.randrange(6)
    if kind == 0:
        return rng.choice(WORDS)
    if kind == 1:
        return made_up(rng)
    if kind == 2:
        return number(rng, rng.randint(3, 6))
    if kind == 3:
        return rng.choice(WORDS) + "-" + number(rng, rng.randint(1, 3))
    if kind == 4:
        return rng.choice(WORDS) + " " + rng.choice(WORDS)
    return random_string(rng, rng.randint(4, 8)).strip("-.:,;!? ") or made_up(rng)


def trained(kind, draw, rng):
    """Draw values until one lies on the training side of the split."""
    while True:
        value = draw(rng)
        if not held_out(kind, value):
            return value


def unseen(kind, draw, rng):
    """Draw values until one lies on the held-out side; short closed lists (rooms, currencies) may have none."""
    for _ in range(1000):
        value = draw(rng)
        if held_out(kind, value):
            break
    return value


def with_articles(text):
    """"a old map" becomes "an old map"."""
    return _ARTICLE.sub(r"\1n ", text)


def sentence(rng):
    """One filler sentence; the patterns and pools give far more sentences than the corpus uses."""
    return with_articles(_sentence(rng))


def _sentence(rng):
    c = rng.choice
    n, a, v, p, t, d = c(NOUNS), c(ADJECTIVES), c(VERBS), c(PEOPLE), c(TIMES), c(ADVERBS)
    n2, a2, p2 = c(NOUNS), c(ADJECTIVES), c(PEOPLE)
    k = rng.randrange(24)
    if k == 0: return f"The {p} {v} the {a} {n} {t}."
    if k == 1: return f"{t[0].upper() + t[1:]}, the {p} {d} {v} a {a} {n}."
    if k == 2: return f"The {n} near the {n2} was {a} and {a2}."
    if k == 3: return f"{person(rng)} {v} the {n} and went home {t}."
    if k == 4: return f"There were {number(rng, rng.randint(1, 3))} {a} people at the {n}."
    if k == 5: return f"Nobody knew why the {n} stood beside the {a} {n2}."
    if k == 6: return f"A {p} and a {p2} {v} the {n} together."
    if k == 7: return f"The {n} was built in {rng.randint(1500, 2020)}."
    if k == 8: return f"After the {c(WEATHER)}, the {a} {n} looked {a2}."
    if k == 9: return f"{person(rng)} asked {person(rng)} about the {n}, but the answer was {a}."
    if k == 10: return f"Every {p} in {city(rng)} has a {a} {n}."
    if k == 11: return f"The {c(ANIMALS)} slept under the {n} {t}."
    if k == 12: return f"It was {a} in {city(rng)}, and the {c(WEATHER)} did not stop."
    if k == 13: return f"The {p} said that the {n} was too {a}."
    if k == 14: return f"She {v} the {n} {d}, then the {n2}."
    if k == 15: return f"He {d} {v} the {a} {c(ANIMALS)} near the {n}."
    if k == 16: return f"They walked from the {n} to the {n2} {t}."
    if k == 17: return f"The price of the {n} was {number(rng, rng.randint(1, 3))} coins."
    if k == 18: return f"A {a} {c(COLOURS)} {n} is better than a {a2} {n2}."
    if k == 19: return f"In {city(rng)}, {person(rng)} works as a {c(JOBS)}."
    if k == 20: return f"What a {a} {n}!"
    if k == 21: return f"The {n} has {rng.randint(2, 99)} steps and one {a} door."
    if k == 22: return f"{person(rng)} wrote a letter about {made_up(rng)} and the {n}."
    return f"The {p}'s {n} is {a}, but the {p2}'s {n2} is {a2}."
