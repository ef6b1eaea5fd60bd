"""Arithmetic, counting and lists: the skills with long or exact outputs.

Pairs (a, b) are split by hash for each operation; evaluate.py asks only pairs never trained.
"""

import string

from corpus_facts import (BY_CONTINENT, CHESS, CONTINENTS, DAYS, MONTHS, NATO, NUMBER_WORDS, PLANETS, RAINBOW, SEASONS)
from corpus_geo import cased
from corpus_words import ANIMALS, COLOURS, FOODS, WORDS, held_out, made_up

ADD = ["What is {a} + {b}?", "What is {a} plus {b}?", "{a} + {b}", "{a}+{b}", "{a} + {b} =", "{a}+{b}=?", "{a} plus {b}", "{a} plus {b}?",
       "Add {a} and {b}.", "Add {a} to {b}.", "Calculate {a} + {b}.", "Compute {a}+{b}", "What is the sum of {a} and {b}?",
       "The sum of {a} and {b}?", "Sum {a} and {b}.", "How much is {a} + {b}?", "How much is {a} plus {b}?", "What do you get when you add {a} and {b}?",
       "Please add {a} and {b}.", "Can you add {a} and {b}?", "What's {a} + {b}?", "What's {a} plus {b}?", "Tell me {a} + {b}.", "Solve {a} + {b}.",
       "Work out {a} plus {b}.", "What does {a} + {b} equal?", "{a} and {b} together make what?", "What is {a} added to {b}?",
       "Give me the total of {a} and {b}.", "What is the total of {a} and {b}?", "Do you know what {a} + {b} is?", "Evaluate {a} + {b}",
       "I have {a} and get {b} more. How many do I have?", "Quick: {a} + {b}?", "Sum: {a}, {b}"]
SUB = ["What is {a} - {b}?", "What is {a} minus {b}?", "{a} - {b}", "{a}-{b}", "{a} - {b} =", "{a}-{b}=?", "{a} minus {b}", "{a} minus {b}?",
       "Subtract {b} from {a}.", "Take {b} away from {a}.", "Calculate {a} - {b}.", "Compute {a}-{b}", "How much is {a} - {b}?",
       "How much is {a} minus {b}?", "What's {a} - {b}?", "What's {a} minus {b}?", "Tell me {a} - {b}.", "Solve {a} - {b}.",
       "Work out {a} minus {b}.", "What does {a} - {b} equal?", "What is {b} subtracted from {a}?", "What remains when you take {b} from {a}?",
       "Please subtract {b} from {a}.", "Can you subtract {b} from {a}?", "What is {a} less {b}?", "Evaluate {a} - {b}",
       "I have {a} and give away {b}. How many are left?", "Quick: {a} - {b}?"]
MUL = ["What is {a} * {b}?", "What is {a} times {b}?", "{a} * {b}", "{a} x {b}", "{a}*{b}", "{a}x{b}", "What is {a}*{b}?", "What's {a}*{b}?", "What's {a} times {b}?", "What is {a} x {b}?", "{a} * {b} =", "{a}*{b}=?", "Compute {a}*{b}",
       "{a} times {b}", "Multiply {a} by {b}.", "Calculate {a} * {b}.",
       "How much is {a} times {b}?", "What is the product of {a} and {b}?"]
ONLY = [" Answer with the number only.", " Only the number.", " Just the number, please.", " Number only."]
STEP = ["Add {b}.", "Now add {b}.", "Plus {b}?", "And plus {b}?", "Add {b} to that.", "Then add {b} more."]
STEP_DOWN = ["Subtract {b}.", "Now subtract {b}.", "Minus {b}?", "And minus {b}?", "Take {b} away from that."]


EVENTS = ["eat", "lose", "sell", "use", "break", "give away", "drop"]
GAINS = ["buy", "find", "get", "win", "pick", "make"]


def word_problem(rng, op, a, b):
    thing = rng.choice(["apples", "books", "coins", "eggs", "stamps", "pens", "balls", "cookies", "cards", "flowers", "toys", "tickets"])
    who, have = rng.choice([("I", "have"), ("We", "have"), (rng.choice(["Tom", "Anna", "Maria", "Ben", "She", "He"]), "has")])
    if op == "+":
        return f"{who} {have} {a} {thing} and {rng.choice(GAINS)}{'s' if have == 'has' else ''} {b} more. How many {thing} {'does' if have == 'has' else 'do'} {who} have?"
    verb = rng.choice(EVENTS)
    if have == "has":
        verb = "gives away" if verb == "give away" else verb + "s"
    return f"{who} {have} {a} {thing} and {verb} {b}. " + rng.choice(["How many are left?", f"How many {thing} are left?", "How many remain?"])


def operand(rng):
    """Mostly two and three digits."""
    roll = rng.random()
    if roll > 0.94:
        return rng.randint(1000, 9999)
    if roll < 0.10:
        return rng.randint(0, 9)
    return rng.randint(10, 99) if roll < 0.5 else rng.randint(100, 999)


def draw_pair(rng, op, held=False):
    """A pair on the training side (or the held-out side) of the split of `op`."""
    while True:
        a = operand(rng)
        b = operand(rng) if op == "+" or rng.random() < 0.8 else max(0, a - rng.randint(0, 20))     # close ones, too
        if op == "-" and a < b and rng.random() < 0.9:
            a, b = b, a
        if held_out(op, a, b) == held:
            return a, b


def result(a, op, b):
    return a + b if op == "+" else a - b if op == "-" else a * b


def arithmetic(rng):
    """One sum, difference or product; sums and differences sometimes go on with the last result."""
    roll = rng.random()
    if rng.random() < 0.03:
        terms = [rng.choice([rng.randint(0, 9), rng.randint(10, 99), 10 * rng.randint(1, 50)]) for _ in range(3)]
        said = rng.choice(["{} + {} + {}", "What is {} + {} + {}?", "Add {}, {} and {}.", "What is {} plus {} plus {}?"]).format(*terms)
        return [(cased(rng, said), f"{terms[0]} + {terms[1]} + {terms[2]} = {sum(terms)}.")]
    if roll < 0.08:
        op, a, b = "*", rng.randint(0, 12), rng.randint(0, 12)
    else:
        op = "+" if roll < 0.6 else "-"
        a, b = draw_pair(rng, op)
    q = rng.choice({"+": ADD, "-": SUB, "*": MUL}[op]).format(a=a, b=b)
    value = result(a, op, b)
    if op != "*" and rng.random() < 0.06 and value >= 0:
        q = word_problem(rng, op, a, b)
    if rng.random() < 0.08:
        return [(cased(rng, q + rng.choice(ONLY)), str(value))]
    turns = [(cased(rng, q), f"{a} {op} {b} = {value}.")]
    while op != "*" and rng.random() < 0.15 and 0 <= value < 1000:
        op = rng.choice("+-")
        b = operand(rng)
        if held_out(op, value, b) or (op == "-" and b > value):
            break
        last, value = value, result(value, op, b)
        turns.append((rng.choice(STEP if op == "+" else STEP_DOWN).format(b=b), f"{last} {op} {b} = {value}."))
    return turns


def compare(rng):
    a, b = rng.randint(0, 999), rng.randint(0, 999)
    if rng.random() < 0.4:
        big = rng.random() < 0.5
        return [(cased(rng, rng.choice([f"Which number is {'larger' if big else 'smaller'}, {a} or {b}?",
                                 f"Which is {'bigger' if big else 'smaller'}, {a} or {b}?", f"Which is {'greater' if big else 'less'}: {a} or {b}?"])),
                 f"{max(a, b) if big else min(a, b)} is {'larger' if big else 'smaller'}." if a != b else "They are equal.")]
    if rng.random() < 0.5:
        return [(cased(rng, f"Is {a} even or odd?"), f"{a} is {'odd' if a % 2 else 'even'}.")]
    n = rng.randint(0, 20)
    if rng.random() < 0.5:
        return [(cased(rng, rng.choice([f"Write {n} as a word.", f"Spell the number {n}.", f"How do you write {n} in words?"])), NUMBER_WORDS[n])]
    return [(cased(rng, rng.choice([f"What number comes after {a}?", f"What comes after {a}?"])), f"{a + 1} comes after {a}.")]


def joined(rng, items):
    """The items and the words that ask for their layout; commas unless the request says otherwise."""
    items = [str(i) for i in items]
    roll = rng.random()
    if roll < 0.62:
        return "", ", ".join(items)
    if roll < 0.74:
        return rng.choice([" separated by spaces", " with spaces only", " with spaces between"]), " ".join(items)
    if roll < 0.88:
        return rng.choice([", one per line", " on separate lines", ", each on its own line"]), "\n".join(items)
    if roll < 0.94:
        return rng.choice([" as a bulleted list", " as bullet points"]), "\n".join("- " + i for i in items)
    return rng.choice([" as a numbered list", ", numbered"]), "\n".join(f"{n}. {i}" for n, i in enumerate(items, 1))


def counting(rng):
    """Counting up and down, multiples, even and odd numbers, squares: 10 to 300 tokens."""
    roll = rng.random()
    c = rng.choice
    if roll < 0.42:
        start = 1 if rng.random() < 0.6 else rng.randint(0, 150)
        end = start + min(int(rng.expovariate(1 / 45)) + 2, 299)
        if rng.random() < 0.3:
            start, end = 1, c([5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 100, 120, 150, 200, 200, 250, 300])
        items = range(start, end + 1)
        ask = c([f"Count from {start} to {end}", f"Count up from {start} to {end}", f"List the numbers from {start} to {end}",
                 f"Write the numbers from {start} to {end}", f"Numbers from {start} to {end}", f"Please count from {start} to {end}",
                 f"Can you count from {start} to {end}", f"Give me all numbers between {start} and {end}, both included",
                 f"Print {start} to {end}", f"Say the numbers {start} to {end}"] + ([f"Count to {end}"] * 3 if start == 1 else []))
    elif roll < 0.58:
        end = rng.randint(0, 60) if rng.random() < 0.5 else 1
        start = end + rng.randint(3, 60)
        items = range(start, end - 1, -1)
        ask = c([f"Count down from {start} to {end}", f"Count backwards from {start} to {end}", f"Countdown from {start} to {end}"])
    elif roll < 0.76:
        n, k = rng.randint(2, 25), rng.randint(4, 30)
        items = range(n, n * k + 1, n)
        ask = c([f"List the first {k} multiples of {n}", f"Give me the first {k} multiples of {n}", f"Write the multiples of {n} up to {n * k}",
                 f"Count by {n} up to {n * k}", f"Count in steps of {n} to {n * k}", f"Multiples of {n} from {n} to {n * k}"])
    elif roll < 0.88:
        odd, end = rng.randint(0, 1), rng.randint(10, 120)
        items = [i for i in range(1, end + 1) if i % 2 == odd]
        ask = c([f"List the {'odd' if odd else 'even'} numbers up to {end}", f"{'Odd' if odd else 'Even'} numbers from 1 to {end}"])
    elif roll < 0.94:
        k = rng.randint(4, 25)
        items = [i * i for i in range(1, k + 1)]
        ask = c([f"List the first {k} square numbers", f"Write the squares of the numbers from 1 to {k}"])
    else:
        end = rng.randint(10, 120)
        items = [i for i in range(2, end + 1) if all(i % d for d in range(2, int(i ** 0.5) + 1))]
        ask = f"List the prime numbers up to {end}"
    layout, answer = joined(rng, items)
    return [(cased(rng, ask + layout + c([".", ".", "", "?" if ask.startswith("Can") else "."])), answer)]


LISTS = [("months of the year", MONTHS), ("days of the week", DAYS), ("seasons", SEASONS), ("planets of the solar system", PLANETS),
         ("colours of the rainbow", RAINBOW), ("continents", CONTINENTS[:5] + ["Oceania", "Antarctica"]), ("chess pieces", CHESS),
         ("words of the NATO alphabet", NATO), ("letters of the alphabet", list(string.ascii_uppercase)), ("months", MONTHS),
         ("weekdays", DAYS), ("planets", PLANETS), ("vowels", list("AEIOU"))]
# Open lists: "Name three fruits" takes the first ones.
OPEN_LISTS = {"fruits": "apple banana cherry grape lemon mango orange peach pear plum", "vegetables": "carrot potato onion tomato cabbage bean pea leek spinach pumpkin",
              "animals": "dog cat horse cow sheep lion tiger bear wolf fox", "colours": "red blue green yellow orange purple black white brown pink",
              "colors": "red blue green yellow orange purple black white brown pink", "birds": "eagle owl robin sparrow duck goose swan crow parrot penguin",
              "tools": "hammer saw drill pliers wrench screwdriver axe file chisel ruler", "sports": "football tennis swimming running cycling boxing hockey golf rowing chess",
              "fish": "salmon trout tuna cod herring carp pike eel perch shark", "names": "Anna Ben Carla David Emma Felix Grace Henry Ines Jack",
              "rivers": "Nile Amazon Danube Rhine Volga Mississippi Ganges Thames Seine Congo", "trees": "oak pine birch maple beech willow ash elm fir cedar",
              "instruments": "piano guitar violin drum flute trumpet cello harp organ clarinet", "drinks": "water tea coffee milk juice cocoa lemonade wine beer cider",
              "cities": "Paris London Berlin Madrid Rome Tokyo Cairo Lima Oslo Vienna", "languages": "English French German Spanish Italian Chinese Arabic Hindi Russian Japanese"}
ASK_LIST = ["List the {t}", "Name the {t}", "List all {t}", "What are the {t}", "Tell me the {t}", "Write the {t}", "Can you list the {t}",
            "Give me the {t}", "Please name all {t}", "The {t}, please"]


def listing(rng):
    """Known lists, whole or in part, and the alphabet."""
    roll = rng.random()
    c = rng.choice
    if roll < 0.25:
        i = rng.randint(0, 20)
        j = rng.randint(i + 1, 25)
        if rng.random() < 0.4:
            i, j = 0, 25
        letters = string.ascii_lowercase if rng.random() < 0.3 else string.ascii_uppercase
        ask = c(["Say the alphabet", "Write the alphabet", "Recite the alphabet", "The alphabet, please"]) if (i, j) == (0, 25) else \
            c([f"Letters from {letters[i]} to {letters[j]}", f"Say the alphabet from {letters[i]} to {letters[j]}"])
        items = list(letters[i:j + 1])
        if letters.islower():
            ask += " in lower case"
        if rng.random() < 0.2:
            ask, items = ask + " backwards", items[::-1]
    elif roll < 0.60:
        continent = c(CONTINENTS)
        items = [k.bare for k in BY_CONTINENT[continent]]
        ask = c(["List the countries of {c}", "Name the countries in {c}", "Which countries are in {c}", "List all countries in {c}",
                 "What are the countries of {c}", "Countries of {c}", "Give me a list of the countries in {c}"]).format(c=continent)
        if rng.random() < 0.6:
            n = rng.randint(2, min(12, len(items)))
            items = items[:n]
            word = str(n) if rng.random() < 0.6 else NUMBER_WORDS[n]
            ask = c(["Name {n} countries in {c}", "List {n} countries of {c}", "Give me {n} countries in {c}", "Tell me {n} countries of {c}",
                     "{n} countries in {c}"]).format(n=word, c=continent)
    elif roll < 0.78:
        topic = c(list(OPEN_LISTS))
        n = c([2, 3, 3, 4, 5, 5, 6, 7, 8, 9, 10])
        items = OPEN_LISTS[topic].split()[:n]
        ask = c(["Name {n} {t}", "List {n} {t}", "Give me {n} {t}", "Tell me {n} {t}", "{n} {t}", "Give me a list of {n} {t}", "Can you name {n} {t}",
                 "Write a list of {n} {t}"]).format(n=n if rng.random() < 0.5 else NUMBER_WORDS[n], t=topic)
    else:
        topic, items = c(LISTS)
        ask = c(ASK_LIST).format(t=topic)
        if rng.random() < 0.25:
            n = rng.randint(2, len(items))
            items, ask = items[:n], f"List the first {n} {topic}"
    layout, answer = joined(rng, items)
    return [(cased(rng, ask + layout + c(["?" if ask.startswith(("What", "Which", "Can")) else ".", ""])), answer)]


def words_game(rng):
    """Sorting, choosing and spelling small lists given by the user."""
    c = rng.choice
    items = rng.sample(c([ANIMALS, COLOURS, FOODS, WORDS]), rng.randint(2, 8))
    listed = ", ".join(items)
    k = rng.randrange(8)
    if k == 0: return [(c([f"Sort these words: {listed}", f"Put in alphabetical order: {listed}"]), ", ".join(sorted(items)))]
    if k == 1: return [(c([f"What is the first word of: {listed}?", f"First item of this list: {listed}"]), items[0])]
    if k == 2: return [(c([f"What is the last word of: {listed}?", f"Last item of this list: {listed}"]), items[-1])]
    if k == 3: return [(c([f"How many words are in this list: {listed}?", f"Count the items: {listed}"]), f"There are {len(items)}.")]
    if k == 4: return [(c([f"Reverse this list: {listed}", f"Write in reverse order: {listed}"]), ", ".join(items[::-1]))]
    word = items[0] if rng.random() < 0.5 else made_up(rng)
    if k == 5: return [(c([f"Write {word} in upper case.", f"{word} in capital letters, please.", f"Uppercase: {word}"]), word.upper())]
    if k == 6: return [(c([f"Make a JSON array of: {listed}", f"As a JSON list: {listed}"]), "[" + ", ".join(f'"{i}"' for i in items) + "]")]
    return [(c([f"Spell the word {word}.", f"How do you spell {word}?", f"Spell {word}"]), "-".join(word.upper()))]
