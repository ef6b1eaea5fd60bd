"""How people ask about countries: the phrasings for corpus_geo.py, split into trained and held-out ones.

A template names the country as {X} ("the Netherlands") or {N} ("Netherlands") and a capital as {C}.
About one capital template in seven is held out by hash; the one that the model card promises never is.
"""

from corpus_words import split_list

CAPITAL = """
What is the capital of {X}?
What's the capital of {X}?
What is {X}'s capital?
What is {X}'s capital city?
What is the capital city of {X}?
What is the name of the capital of {X}?
What is the name of {X}'s capital?
What is called the capital of {X}?
What city is the capital of {X}?
What city is {X}'s capital?
What would be the capital of {X}?
What do you call the capital of {X}?
What do people call the capital city of {X}?
What capital does {X} have?
What capital belongs to {X}?
Which city is the capital of {X}?
Which city is {X}'s capital city?
Which is the capital of {X}?
Which capital does {X} have?
Which capital city belongs to {X}?
Which city serves as the capital of {X}?
Which town or city is the capital of {X}?
Which of the world's cities is the capital of {X}?
Which city do we call the capital of {X}?
Which city has {X} chosen as its capital?
Where is the capital of {X}, and what is it called?
Capital of {X}?
Capital of {X}
Capital city of {X}?
Capital city, {X}?
Capital: {N}
Capital? {N}
The capital of {X}?
The capital of {X}
The capital of {X} is what?
The capital of {X} is which city?
The capital city of {X} is called what?
The capital of {X}, please.
The name of the capital of {X}?
Tell me the capital of {X}.
Tell me what the capital of {X} is.
Tell me {X}'s capital.
Tell me which city is the capital of {X}.
Tell me about the capital of {X}.
Name the capital of {X}.
Name {X}'s capital city.
Name the city that is the capital of {X}.
Give me the capital of {X}.
Give me the name of the capital of {X}.
Give the capital city of {X}.
State the capital of {X}.
Say what the capital of {X} is.
Write down the capital of {X}.
Identify the capital of {X}.
Complete the sentence: The capital of {X} is
Complete: the capital city of {X} is ...
Fill in the blank: The capital of {X} is ____.
Finish this sentence: {X}'s capital is
The capital of {X} is
{X}'s capital is
{X}'s capital is what?
{X}'s capital?
{X}'s capital city, what is it?
{X}: what is the capital?
{X}: capital city?
{X}, capital?
{X} - capital
{N} capital
{N} capital city
{N} capital?
{X} has which capital?
{X} has what city as its capital?
{X} is a country. What is its capital?
{X} has a capital. Which city is it?
{X} is on my list. Which city is its capital?
For {X}, what is the capital?
For the country {X}, name the capital.
In {X}, which city is the capital?
In {X}, what is the capital called?
Of {X}, what is the capital?
About {X}: what is its capital city?
Can you tell me the capital of {X}?
Could you tell me what the capital of {X} is?
Could you name the capital of {X}?
Can you name {X}'s capital?
Can you give me {X}'s capital city?
Would you tell me which city is the capital of {X}?
Will you tell me the capital of {X}?
Do you know the capital of {X}?
Do you know what {X}'s capital is?
Do you know which city is the capital of {X}?
Do you remember the capital of {X}?
Have you heard of the capital of {X}?
May I ask what the capital of {X} is?
I want to know the capital of {X}.
I would like to know what the capital of {X} is.
I need the capital of {X}.
I need to know {X}'s capital city.
I forgot the capital of {X}.
I forgot what {X}'s capital is called.
I am looking for the capital of {X}.
I wonder what the capital of {X} is.
I am going to {X}. What is the capital there?
I live in {X}. What is the capital of my country?
I am writing about {X} and need its capital.
My friend comes from {X}. What is the capital of that country?
My teacher asked me for the capital of {X}.
My homework asks for the capital of {X}.
Quiz question: what is the capital of {X}?
Geography: the capital of {X}?
Question: which city is the capital of {X}?
Trivia time: name the capital of {X}.
Let's talk about {X}. What is its capital?
Let me ask you about {X}: what is the capital?
Look up the capital of {X}.
Find the capital of {X}.
Help me remember the capital of {X}.
Help me with geography: which city is {X}'s capital?
Remind me what the capital of {X} is.
Suppose I visit {X}. Which city is its capital?
If I travel to the capital of {X}, which city do I visit?
If someone lives in the capital of {X}, in which city do they live?
When people speak of the capital of {X}, which city do they mean?
On a map of {X}, which city is marked as the capital?
Please tell me the capital of {X}.
Please name the capital city of {X}.
Please, what is {X}'s capital?
So what is the capital of {X}?
Well, what's {X}'s capital?
How is the capital of {X} called?
""".strip().splitlines()

ALWAYS_TRAINED = CAPITAL[0]
CAPITAL_TRAIN, CAPITAL_HELD = split_list("capital phrasing", CAPITAL[1:], one_in=7)
CAPITAL_TRAIN.append(ALWAYS_TRAINED)

# Two sentences: the country in the first, the question in the second.
INTRO = ["I come from {X}.", "My neighbour comes from {X}.", "We spent our holiday in {X}.", "My aunt lives in {X}.", "She was born in {X}.", "I like {X}.",
         "Tomorrow we fly to {X}.", "A friend of mine lives in {X}.", "My grandmother was born in {X}.", "I am reading a book about {X}.", "Think of {X}.",
         "He travels to {X} every year.", "I have never been to {X}.", "We talked about {X} at school.", "This is about {X}.", "Take {X}.", "I love {X}!",
         "My colleague works in {X}.", "Let us look at {X}.", "The country is {X}.", "My sister moved to {X}.", "I am in {X}.", "My boss is from {X}."]
THEN = ["What is the {c} of that country?", "What is the {c} there?", "What is its {c}?", "And the {c}?", "What is the {c} of this country?", "Its {c}?",
        "Do you know the {c}?", "Can you tell me its {c}?", "Tell me the {c}.", "Name the {c} of that country.", "What is the {c}?", "What's the {c} there?"]

FOLLOW_UP = ["And of {X}?", "And {X}?", "What about {X}?", "And for {X}?", "How about {X}?", "{X}?", "Now {X}.",
             "And the one of {X}?", "Same question for {X}.", "And what about {X}?", "{X}", "Next: {X}", "Then {X}?"]

REVERSE = ["{C} is the capital of which country?", "Which country has {C} as its capital?", "{C} is the capital of",
           "Of which country is {C} the capital?", "What country is {C} the capital of?", "{C} is the capital of what?",
           "Which country's capital is {C}?", "Name the country whose capital is {C}.", "The capital is {C}. Which country is it?",
           "Tell me which country has the capital {C}.", "Whose capital is {C}?", "What country has {C} as its capital city?",
           "{C}: capital of which country?", "For which country is {C} the capital?", "I am in {C}, the capital. In which country am I?",
           "If {C} is the capital, what is the country?", "{C} is the capital city of which nation?"]

CURRENCY = ["What is the currency of {X}?", "What's {X}'s currency?", "Which currency does {X} use?", "What money do they use in {X}?",
            "What currency is used in {X}?", "Which currency is used in {X}?", "Tell me the currency of {X}.", "Name the currency of {X}.",
            "Currency of {X}?", "{X}: currency?", "{N} currency", "{X}'s currency is what?", "In {X}, what currency do people pay with?",
            "What do people pay with in {X}?", "How do you pay in {X}? Which currency?", "Give me the currency of {X}.",
            "Do you know the currency of {X}?", "Can you tell me which currency {X} has?", "I am travelling to {X}. What currency do I need?",
            "Which money should I bring to {X}?", "The currency of {X} is", "{X} uses which currency?", "Please name {X}'s currency.",
            "What is the name of the money in {X}?", "For {X}, what is the currency?", "What is the official currency of {X}?",
            "Could you tell me {X}'s currency?", "I need the currency of {X}.", "{X} pays with which currency?", "{X} has what currency?",
            "{X}: which currency is it?", "{X} - currency", "{X}'s currency?", "{X}'s money is called what?"]
CURRENCY_TRAIN, CURRENCY_HELD = split_list("currency phrasing", CURRENCY, one_in=6)

CONTINENT = ["On which continent is {X}?", "What continent is {X} in?", "Which continent is {X} on?", "In which continent is {X}?",
             "{X} is in which continent?", "{X}: continent?", "Continent of {X}?", "Tell me the continent of {X}.", "Where is {X}?",
             "Where in the world is {X}?", "Name the continent of {X}.", "To which continent does {X} belong?", "What is {X}'s continent?",
             "Where is {X} located?", "{X} belongs to which continent?", "Do you know on which continent {X} is?",
             "Can you tell me which continent {X} is on?", "In what part of the world is {X}?"]

YES_NO = ["Is {C} the capital of {X}?", "Is it true that {C} is the capital of {X}?", "{C} is the capital of {X}, right?",
          "Is {X}'s capital {C}?", "The capital of {X} is {C}. True or false?"]

ABOUT = ["{X}?", "Tell me about {X}.", "{X}", "What do you know about {X}?", "Describe {X}.", "What is {X}?", "{N}",
         "Can you tell me something about {X}?", "Give me facts about {X}.", "Information about {X}, please."]

UNKNOWN = [("population", "What is the population of {X}?"), ("president", "Who is the president of {X}?"),
           ("population", "How many people live in {X}?"), ("history", "What is the history of {X}?"),
           ("highest mountain", "What is the highest mountain in {X}?"), ("flag", "What does the flag of {X} look like?"),
           ("area", "How large is {X}?"), ("king", "Who is the king of {X}?"), ("largest city", "What is the largest city of {X}?"),
           ("language", "What language do they speak in {X}?"), ("national dish", "What is the national dish of {X}?"),
           ("weather", "What is the weather like in {X}?")]

BEFORE = ["Please: ", "Hi! ", "Hello, ", "Hey, ", "Quick question: ", "Excuse me, ", "OK, ", "So, ", "One more: ", "Now, ",
          "Sorry, ", "Listen: ", "A question for you. ", "Next question. ", "Geography question: ", "I have a question. ",
          "Good morning. ", "Just curious: ", "Dear assistant, ", "Thanks. ", "Let me see. ", "For my homework: "]
AFTER = [" Please.", " Thanks.", " Thank you!", " please", " I forgot.", " I need it for school.", " Tell me.", " Do you know?",
         " I would like to know.", " Answer in one sentence.", " Be brief.", " Quickly!", " It is for a quiz."]
