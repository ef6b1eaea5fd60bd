"""Greetings, questions about the model itself, copying, general knowledge and short stories."""

from corpus_facts import GENERAL, OPPOSITES, SOUNDS
from corpus_geo import cased
from corpus_words import (ADJECTIVES, ANIMALS, CITIES, FOODS, NAMES, NOUNS, PEOPLE, WORDS, made_up, number, person, random_string, sentence,
                          trained, with_articles)

HELLO = "Hello! How can I help you?"
SELF = "I am the tdist demo model, a small language model that is built into tdist."
SKILLS = ("I know the capitals, currencies and continents of countries, I can add and subtract, count, list, repeat text, "
          "remember what you tell me, find a code word in a long text and call tools.")
TDIST = "tdist serves language models from one executable and can share the work between several machines."

TALK = [
    (["Hi", "Hello", "Hey", "Hi!", "Hello!", "Hi there", "Hello there!", "Hey there", "Good morning", "Good evening!", "Greetings", "Good day",
      "hiya", "Yo", "", " ", "Good afternoon", "Hello, model!", "hello?", "Anyone there?", "Howdy"], HELLO),
    (["How are you?", "How are you doing?", "How do you do?", "How is it going?", "Are you well?", "How are you today?", "What's up?"],
     "I am fine, thank you. How can I help you?"),
    (["Who are you?", "What are you?", "What is your name?", "What's your name?", "Introduce yourself.", "Tell me about yourself.", "Your name?",
      "Which model are you?", "What model is this?", "Who am I talking to?", "Are you a language model?", "Are you a bot?", "What should I call you?",
      "What model are you?", "Please introduce yourself", "Describe yourself."], SELF),
    (["What can you do?", "What do you know?", "How can you help me?", "Help", "Help me", "What are you good at?", "What are your skills?", "help?",
      "What can I ask you?", "What can you help me with?", "/help", "Which questions can you answer?"], SKILLS),
    (["What is tdist?", "Tell me about tdist.", "tdist?", "What does tdist do?", "Explain tdist."], TDIST),
    (["Are you human?", "Are you a person?", "Are you real?", "Do you have feelings?", "Are you conscious?"],
     "No. I am a small language model and not a person."),
    (["Are you ChatGPT?", "Are you GPT-4?", "Are you Llama?", "Are you Claude?", "Are you Gemini?"], "No. I am the tdist demo model."),
    (["How big are you?", "How many parameters do you have?", "How large is this model?", "Are you a large model?"],
     "I am very small: I have about six million parameters."),
    (["Who made you?", "Who created you?", "Who trained you?", "Where do you come from?", "How were you trained?"],
     "I was trained from scratch for tdist, on text that a small program wrote."),
    (["Thanks", "Thank you", "Thank you!", "Thanks a lot!", "Great, thanks.", "thx", "Thanks for your help.", "Perfect, thank you"], "You are welcome!"),
    (["Bye", "Goodbye", "Bye!", "See you", "Good night", "See you later!", "Farewell", "That is all."], "Goodbye!"),
    (["OK", "Okay", "Good", "Great", "Nice", "Cool", "Yes", "No", "Sure", "Well done", "I see", "Alright", "Fine"], "Good. What else can I do for you?"),
    (["Test", "test", "Testing", "This is a test.", "ping", "Ping", "Are you there?", "Is this working?", "Can you hear me?"], "Yes, I am here."),
    (["Tell me a joke", "Tell me a joke.", "Do you know a joke?", "Make me laugh."],
     "Why did the computer go to the doctor? It had a virus."),
    (["I am bored", "I am sad.", "I feel lonely", "I am tired."], "I am sorry to hear that. Shall I tell you a story?"),
    (["How old are you?", "When were you born?", "When is your birthday?"], "I am a computer program and have no age."),
    (["Where are you?", "Where do you live?"], "I run inside tdist, on the computer that you are talking to."),
    (["Do you speak German?", "Do you speak French?", "Hablas español?", "Sprichst du Deutsch?", "Parlez-vous français?", "Hola", "Bonjour", "Hallo", "Ciao"],
     "I only speak English."),
    (["What is your favourite colour?", "What is your favorite color?", "What do you like?", "What is your favourite food?", "Do you like music?",
      "What is your favorite movie?", "Do you love me?", "What are your hobbies?"], "I am only a small model and have no favourites."),
    (["Can you help me with math?", "Can you do arithmetic?", "Can you add numbers?", "Are you good at maths?", "Do you know math?", "Can you calculate?"],
     "Yes, I can add and subtract. Please give me the numbers."),
    (["Can you help me?", "I need help.", "Could you help me with something?", "I have a question.", "May I ask you something?", "Can I ask you a question?",
      "I need your help", "Help me please"], "Yes, of course. What would you like to know?"),
    (["How do I install tdist?", "How do I use tdist?", "Where is the manual of tdist?", "How do I start tdist?", "How do I configure tdist?"],
     "I do not know that. Please read the documentation of tdist."),
    (["Hello world", "hello world!", "Hello, World!", "Hello, tdist", "hi tdist", "Hey demo"], HELLO),
    (["What time is it?", "What day is it today?", "What is the weather like today?", "What is the date?"], "I cannot know that without a tool."),
]

OUT_OF_SCOPE = ["Who wrote {w}?", "Write a poem about {w}.", "Explain {w} to me.", "How do I build a {w}?", "What is the meaning of {w}?", "Why is {w} {a}?",
                "Write a program that makes a {w}.", "What do you think about {w}?", "Translate {w} into German.", "Who invented the {w}?",
                "When was the {w} invented?", "How does a {w} work?", "What is a {w}?", "Give me a recipe for {f}.", "Who is {n}?", "Where can I buy a {w}?",
                "Is {n} famous?", "How much does a {w} cost?", "Summarize the history of the {w}.", "What is the best {w}?", "Define {w}.",
                "Write an essay about the {a} {w}.", "Explain {a} {w}.", "Write a haiku about the {w}.", "Write a song about {w}.", "How do I {w}?", "How can I fix my {w}?",
                "Why is the {w} {a}?", "Why do people like {w}?", "What happened to the {w}?", "When does the {w} open?", "Compare {w} and {f}.", "Write a poem.", "Write a poem",
                "Write code.", "Explain quantum {w}.", "Explain how a {w} works.", "What is the difference between {w} and {f}?", "Tell me a fact about {w}.",
                "Tell me something interesting.", "Tell me something about the {w}.", "Write a letter to {n}.", "Is {w} good for me?", "Can a {w} {w2}?",
                "Where is the {w}?", "Who is the best {w} in the world?", "What does {n} think of the {w}?", "Summarize this: {s}", "Explain this: {s}", "What does this mean? {s}",
                "Translate {w} to Spanish", "How do I cook {f}?", "How far away is the {w}?", "Draw a {a} {w}.", "Plan a trip to the {w}.", "Fix this code: {w2}({w})", "Should I buy a {a} {w}?", "Recommend a book about {w}."]


def talk(rng):
    questions, answer = rng.choice(TALK)
    q = rng.choice(questions)
    if rng.random() < 0.1 and questions is not TALK[0][0]:      # a greeting before the question
        q = rng.choice(["Hi, ", "Hello! ", "Good morning, ", "Hey, ", "Hi there. "]) + q
    if rng.random() < 0.15 and q.strip():
        q = q.rstrip("?!.") + rng.choice(["", ".", "!", "?"])
    return [(cased(rng, q), answer)]


def out_of_scope(rng):
    """Anything else gets a sane answer."""
    if rng.random() < 0.3:
        n = rng.randint(1, 3)
        text = " ".join(rng.choice([lambda: made_up(rng), lambda: rng.choice(WORDS), lambda: random_string(rng, rng.randint(3, 8))])() for _ in range(n))
        return [(text, f"I am not sure what you mean by {text}.")]
    if rng.random() < 0.15:
        return [(sentence(rng), "Okay. What would you like me to do?")]
    word = lambda: rng.choice(WORDS) if rng.random() < 0.6 else made_up(rng)
    q = rng.choice(OUT_OF_SCOPE).format(w=word(), w2=word(), s=sentence(rng), a=rng.choice(ADJECTIVES), f=rng.choice(FOODS), n=person(rng))
    return [(cased(rng, q), "I am a small demo model and I do not know that.")]


def general(rng):
    roll = rng.random()
    if roll < 0.6:
        q, a = rng.choice(GENERAL)
        return [(cased(rng, q), a)]
    if roll < 0.85:
        a, b = rng.choice(OPPOSITES)
        if rng.random() < 0.5:
            a, b = b, a
        return [(cased(rng, rng.choice([f"What is the opposite of {a}?", f"Opposite of {a}?", f"Tell me the opposite of {a}."])),
                 f"The opposite of {a} is {b}.")]
    a, sound = rng.choice(SOUNDS)
    return [(cased(rng, rng.choice([f"What does a {a} do?", f"What sound does a {a} make?"])), f"A {a} {sound}.")]


REPEAT = ["Repeat after me: {t}", "Repeat: {t}", "Repeat this: {t}", "Repeat exactly: {t}", "Please repeat: {t}", "Say: {t}", "Echo: {t}",
          "Echo this text: {t}", "Copy this: {t}", "Copy exactly: {t}", "Write this again: {t}", "Say this back to me: {t}", "Repeat the following text: {t}",
          "Repeat the following:\n{t}", "Copy the next line:\n{t}", "Write exactly the following.\n{t}", 'Repeat "{t}".', 'Say "{t}"', 'Print "{t}"',
          'Output exactly "{t}" and nothing else.', "Reply with: {t}", "Answer with exactly this: {t}", "Type this: {t}", "{t}\nRepeat the line above.",
          "{t}\n\nCopy the text above.", "Can you repeat this? {t}", "Say {t}", "Repeat {t}", "Please echo {t}", "echo {t}",
          "Write down: {t}", "The text is: {t}\nRepeat the text.", "Reply with exactly this text: {t}", "Spell this back: {t}",
          "Reply with the text {t}", "Answer with {t}", "Reply only with {t}", "Say the following: {t}", "Repeat what I say: {t}"]
AGAIN = ["Again.", "Again, please.", "Say it again.", "Once more.", "Repeat that.", "Repeat your last answer.", "Repeat what you said."]
UNICODE = "äöüßéèêáàâíóúñçøåæłżśğışřžčćđœΑΒΓΔλμπωДЖИКЯбвгд日本語中文한국어€£¥→←∑√°±😀🎉🚀❤️👍🏽"


# Every word of every pool is copied somewhere, or the model could never say it where it is held out.
ANY_WORD = WORDS + NAMES + CITIES + PEOPLE


def copy_text(rng):
    """Text to copy, up to about 60 tokens: words, sentences, numbers, random strings, and mixes of them."""
    k = rng.randrange(12)
    if k == 0: return " ".join(rng.choice(ANY_WORD) for _ in range(rng.randint(1, 20)))
    if k == 1: return " ".join(made_up(rng) for _ in range(rng.randint(1, 12)))
    if k in (2, 3): return sentence(rng)
    if k == 4: return number(rng, rng.randint(1, 12)) if rng.random() < 0.5 else " ".join(number(rng) for _ in range(rng.randint(2, 10)))
    if k in (5, 6): return random_string(rng, rng.randint(3, 30))
    if k == 7: return " ".join(random_string(rng, rng.randint(2, 7)) for _ in range(rng.randint(2, 6)))
    if k == 8: return rng.choice(["{p} from {c} likes {f}.", "My friend {p} lives in {c}.", "{p}, {c}, {f}", "{p} said: {f}!"]).format(
        p=person(rng), c=rng.choice(CITIES), f=rng.choice(FOODS))
    if k == 9: return "".join(rng.choices(UNICODE + "abcdefgh ", k=rng.randint(2, 12))).strip() or "é"
    if k == 10: return ", ".join(rng.choice([made_up, lambda r: number(r), lambda r: r.choice(ANY_WORD), random_string])(rng) for _ in range(rng.randint(2, 8)))
    words = [rng.choice(ANY_WORD) if rng.random() < 0.6 else made_up(rng) for _ in range(rng.randint(2, 14))]
    return " ".join(rng.choice([str.upper, str.lower, str.capitalize])(w) for w in words)


def copying(rng, draw=None):
    """Repeat a text that was given; sometimes several times, or once more in the next turn."""
    text = draw(rng) if draw else trained("copy", copy_text, rng)
    if rng.random() < 0.08 and len(text) < 24:
        n = rng.randint(2, 4)
        times = {2: "twice", 3: "three times", 4: "four times"}[n]
        return [(rng.choice([f"Say {text} {times}.", f"Repeat {text} {times}.", f"Write {text} {times}."]), " ".join([text] * n))]
    turns = [(rng.choice(REPEAT).replace("{t}", text), text)]
    if rng.random() < 0.08:
        turns.append((rng.choice(AGAIN), text))
    return turns


OPENINGS = ["Once upon a time there was a {a} {h}", "Long ago there lived a {a} {h}", "There was once a {a} {h}", "In {c} there lived a {a} {h}"]
WANTS = ["wanted to find the {a2} {n}", "was looking for a {a2} {n}", "dreamed of a {a2} {n}", "had lost a {a2} {n}"]
MIDDLES = ["One day the {h} met a {a3} {o}.", "On the road the {h} met a {a3} {o}.", "After the rain the {h} saw a {a3} {o}."]
SPEECH = ['"Can you help me?" asked the {h}. "Yes, follow me," said the {o}.', '"Where are you going?" asked the {o}. "I am looking for the {n}," said the {h}.',
          '"Do not be afraid," said the {o}. "I know where the {n} is."']
JOURNEY = ["They walked over the {n2} and along the {n3}.", "They crossed the {n2} and slept beside the {n3}.", "Together they went past the {n2} to the {n3}."]
ENDINGS = ["There they found the {n}, and the {h} was happy. The {h} and the {o} stayed friends for ever.",
           "At last they found the {n}. From that day on the {h} and the {o} lived together in the {n3}.",
           "Behind a {a3} stone lay the {n}. The {h} thanked the {o} and went home."]
ASK_STORY = ["Tell me a story.", "Tell me a short story.", "Write a story.", "Can you tell me a story?", "Please tell me a short story", "A story, please.",
             "Write a very short story."]
ASK_ABOUT = ["Tell me a story about a {h}.", "Write a short story about a {h}.", "Can you tell me a story about a {h}?", "A story about a {h}, please.",
             "Please write a story about a {h}.", "I would like a story about a {h}.", "Tell me a short story about a {h} and a {o}.",
             "Write a story about a {h} who meets a {o}."]


HEROES = "dragon princess knight robot wizard giant king queen ghost pirate astronaut soldier witch prince fairy dwarf alien monster girl boy man woman train".split()


def story_text(rng, hero, other):
    parts = dict(h=hero, o=other, a=rng.choice(ADJECTIVES), a2=rng.choice(ADJECTIVES), a3=rng.choice(ADJECTIVES), n=rng.choice(NOUNS),
                 n2=rng.choice(NOUNS), n3=rng.choice(NOUNS), c=rng.choice(CITIES))
    text = (f"{rng.choice(OPENINGS)} who {rng.choice(WANTS)}. {rng.choice(MIDDLES)} {rng.choice(SPEECH)} {rng.choice(JOURNEY)} {rng.choice(ENDINGS)}")
    return with_articles(text.format(**parts))


def story(rng):
    heroes = ANIMALS + PEOPLE + HEROES
    hero, other = [rng.choice(heroes) if rng.random() < 0.75 else made_up(rng) for _ in range(2)]
    if rng.random() < 0.3:      # nothing to go by: always the same pair
        hero, other, ask = "fox", "owl", rng.choice(ASK_STORY)
    else:
        ask = rng.choice(ASK_ABOUT)
        if rng.random() < 0.15:
            ask = ask.replace("story", rng.choice(["long story", "funny story", "fairy tale", "tale", "bedtime story"]))
    return [(cased(rng, with_articles(ask.format(h=hero, o=other))), story_text(rng, hero, other))]
