"""Tool calling in the Hermes style, and JSON answers.

Known tools have names a client may well use; made-up tools force the model to read the definition
instead of remembering it. Argument values are split by hash for evaluate.py.
"""

import json

from corpus_words import (ADJECTIVES, ANIMALS, CITIES, COLOURS, FOODS, JOBS, NAMES, NOUNS, OBJECTS, PLACES, city, made_up, number, person, random_string, sentence, trained)

TITLES = "meeting lunch dinner call workshop review lesson party rehearsal interview".split()
LANGUAGES = "German French Spanish Italian Portuguese Dutch Polish Swedish Turkish Japanese Korean Arabic Hindi Greek".split()
ROOMS = "kitchen bedroom bathroom office garage garden hallway cellar".split() + ["living room", "dining room"]
POOLS = [ADJECTIVES, CITIES, JOBS, NOUNS, OBJECTS, ROOMS, LANGUAGES, ANIMALS, COLOURS, FOODS, NAMES, PLACES]
MONEY = "USD EUR GBP JPY CHF SEK NOK CAD AUD INR".split()

# Value kinds: how a value is drawn, and its JSON type.
KINDS = {
    "city": (lambda r: city(r), "string"), "name": (lambda r: person(r), "string"), "int": (lambda r: r.randint(1, 999), "integer"),
    "small": (lambda r: r.randint(1, 20), "integer"), "float": (lambda r: round(r.uniform(0, 500), r.choice([1, 2])), "number"),
    "word": (lambda r: r.choice(NOUNS) if r.random() < 0.5 else made_up(r), "string"), "title": (lambda r: r.choice(ADJECTIVES) + " " + (r.choice(TITLES) if r.random() < 0.7 else r.choice(NOUNS)), "string"),
    "time": (lambda r: f"{r.randint(0, 23):02d}:{r.choice(['00', '15', '30', '45'])}", "string"),
    "date": (lambda r: f"{r.randint(2024, 2030)}-{r.randint(1, 12):02d}-{r.randint(1, 28):02d}", "string"),
    "language": (lambda r: r.choice(LANGUAGES), "string"), "room": (lambda r: r.choice(ROOMS) if r.random() < 0.7 else r.choice(NOUNS), "string"), "money": (lambda r: r.choice(MONEY), "string"),
    "id": (lambda r: random_string(r, r.randint(4, 8)).strip("-.:,;!?\"' ") or "A1", "string"), "phrase": (lambda r: " ".join(r.choice(NOUNS) for _ in range(r.randint(2, 4))), "string"),
    "text": (lambda r: sentence(r), "string"), "email": (lambda r: f"{person(r).lower()}@{made_up(r)}.com", "string"),
    "symbol": (lambda r: "".join(r.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=r.randint(2, 4))), "string"),
}

# name | description | argument:kind ... | requests, separated by ~ | answer to a result, by result fields
KNOWN = [line.split("|") for line in """
get_weather|Get the current weather of a city.|city:city|What is the weather in {city}?~What's the weather like in {city}?~How is the weather in {city}?~Weather in {city}?~Is it raining in {city}?~Tell me the weather in {city}.~Do I need an umbrella in {city}?|weather
get_current_weather|Get the current weather in a given location|location:city|What is the weather in {location}?~What's the weather like in {location}?~How is the weather in {location} today?~Weather {location}~Tell me the weather in {location}, please.|weather
get_time|Get the current time in a city.|city:city|What time is it in {city}?~Tell me the time in {city}.~Current time in {city}?~What is the time in {city}?|time
add|Add two numbers.|a:int b:int|Add {a} and {b}.~What is {a} plus {b}?~Use the tool to add {a} and {b}.~What is {a} + {b}?|result
multiply|Multiply two numbers.|a:int b:int|Multiply {a} by {b}.~What is {a} times {b}?~What is {a} * {b}?~How much is {a} times {b}?|result
calculator|Evaluate an arithmetic expression.|expression:expr|Calculate {expression}.~What is {expression}?~Compute {expression}~Use the calculator for {expression}.|result
search|Search the web.|query:phrase|Search for {query}.~Search the web for {query}.~Find pages about {query}.|results
web_search|Search the web for a query.|query:phrase|Search the web for {query}.~Please search for {query}.~Look for {query} on the web.|results
send_email|Send an email.|to:email subject:title|Send an email to {to} with the subject {subject}.~Email {to} about {subject}.~Write an email to {to}, subject {subject}.|status
send_message|Send a message to a contact.|recipient:name message:text|Send {recipient} this message: {message}~Tell {recipient}: {message}~Message {recipient}: {message}|status
set_alarm|Set an alarm.|time:time|Set an alarm for {time}.~Wake me at {time}.~Alarm at {time}, please.|status
set_timer|Start a timer.|minutes:small|Set a timer for {minutes} minutes.~Start a {minutes} minute timer.~Timer: {minutes} minutes.|status
create_event|Create a calendar event.|title:title date:date|Create an event called {title} on {date}.~Put {title} in my calendar on {date}.~Add {title} to the calendar for {date}.|status
translate|Translate text.|text:text target_language:language|Translate into {target_language}: {text}~Translate this into {target_language}: {text}~How do you say this in {target_language}? {text}|translation
convert_currency|Convert an amount of money.|amount:float from_currency:money to_currency:money|Convert {amount} {from_currency} to {to_currency}.~How much is {amount} {from_currency} in {to_currency}?~Change {amount} {from_currency} into {to_currency}.|result
get_stock_price|Get the price of a stock.|symbol:symbol|What is the stock price of {symbol}?~Price of {symbol}?~How is {symbol} trading?~Get the price of {symbol}.|price
lookup_order|Look up an order.|order_id:id|Where is my order {order_id}?~Look up order {order_id}.~What is the status of order {order_id}?|status
turn_on_light|Turn on the light in a room.|room:room|Turn on the light in the {room}.~Light in the {room}, please.~Switch on the {room} light.|status
set_temperature|Set the temperature of a room.|room:room degrees:small|Set the {room} to {degrees} degrees.~Make the {room} {degrees} degrees.|status
play_song|Play a song.|title:phrase|Play the song {title}.~Play {title}.~I want to hear {title}.|status
book_table|Book a table in a restaurant.|restaurant:name people:small time:time|Book a table at {restaurant} for {people} people at {time}.~Reserve a table for {people} at {restaurant} at {time}.|status
book_flight|Book a flight.|origin:city destination:city date:date|Book a flight from {origin} to {destination} on {date}.~I want to fly from {origin} to {destination} on {date}.|status
get_distance|Get the distance between two cities.|start:city end:city|How far is it from {start} to {end}?~What is the distance from {start} to {end}?~Distance between {start} and {end}?|distance
define_word|Look up the definition of a word.|word:word|Define {word}.~What does {word} mean?~Look up the meaning of {word}.|definition
roll_dice|Roll dice.|sides:small count:small|Roll {count} dice with {sides} sides.~Throw {count} dice, {sides} sides each.|result
get_user|Get a user by name.|name:name|Get the user {name}.~Find the user named {name}.~Who is the user {name}?|user
read_file|Read a file.|path:path|Read the file {path}.~Show me {path}.~Open {path}.~What is in {path}?|content
get_population|Get the population of a country or city.|place:city|What is the population of {place}?~How many people live in {place}?~Population of {place}?|population
""".strip().splitlines()]
KINDS["expr"] = (lambda r: f"{r.randint(1, 999)} {r.choice('+-*/')} {r.randint(1, 999)}", "string")
KINDS["path"] = (lambda r: "/".join(made_up(r) for _ in range(r.randint(1, 3))) + r.choice([".txt", ".json", ".md", ".py"]), "string")

ACTIONS = "start stop open close print move copy delete update check scan clean paint lock unlock order ship store load rename".split()
ARGUMENTS = [("name", "name"), ("size", "int"), ("count", "small"), ("city", "city"), ("code", "id"), ("label", "word"), ("weight", "float"), ("owner", "name"),
             ("date", "date"), ("time", "time"), ("target", "word"), ("level", "small"), ("title", "phrase"), ("speed", "int"), ("source", "city"), ("mode", "word")]
CONDITIONS = "sunny rainy cloudy windy snowy foggy clear stormy".split()


class Tool:
    """A tool definition with its requests; `call` draws values and gives (request, name, arguments)."""

    def __init__(self, name, description, arguments, requests, result):
        self.name, self.description, self.arguments, self.requests, self.result = name, description, arguments, requests, result

    def definition(self, rng):
        props = {}
        for arg, kind in self.arguments:
            props[arg] = {"type": KINDS[kind][1]}
            if rng.random() < 0.4:
                props[arg]["description"] = f"The {arg.replace('_', ' ')}"
        parameters = {"type": "object", "properties": props}
        if rng.random() < 0.85:
            parameters["required"] = [arg for arg, _ in self.arguments]
        return {"type": "function", "function": {"name": self.name, "description": self.description, "parameters": parameters}}

    def call(self, rng, draw):
        values = {arg: draw("tool " + kind, KINDS[kind][0], rng) for arg, kind in self.arguments}
        request = rng.choice(self.requests)
        for arg, value in values.items():
            request = request.replace("{" + arg + "}", str(value))
        return request, values


def known_tools():
    return [Tool(n, d, [tuple(a.split(":")) for a in args.split()], req.split("~"), result) for n, d, args, req, result in KNOWN]


KNOWN_TOOLS = known_tools()


def made_up_tool(rng):
    """A tool nobody has seen: the request names the action and the arguments."""
    action, noun = rng.choice(ACTIONS), rng.choice(NOUNS) if rng.random() < 0.6 else made_up(rng)
    name = rng.choice([f"{action}_{noun}", f"{noun}_{action}", f"{action}{noun.capitalize()}", f"{action}-{noun}"])
    arguments = rng.sample(ARGUMENTS, rng.randint(1, 3))
    spoken = [f"{arg} {{{arg}}}" for arg, _ in arguments]
    listed = spoken[0] if len(spoken) == 1 else ", ".join(spoken[:-1]) + " and " + spoken[-1]
    requests = [f"{action.capitalize()} the {noun} with {listed}.", f"Please {action} the {noun}, {listed}.", f"{action} {noun}: {listed}",
                f"Can you {action} the {noun} with {listed}?", f"I want to {action} the {noun}. Use {listed}."]
    return Tool(name, rng.choice([f"{action.capitalize()} the {noun}.", f"{action.capitalize()}s a {noun}"]), arguments, requests, "status")


def outcome(rng, tool, values):
    """A tool's result (as the tool turn holds it) and the answer that reports it."""
    kind = tool.result
    first = next(iter(values.values()))
    if kind == "weather":
        degrees, cond = rng.randint(-15, 40), rng.choice(CONDITIONS)
        key = rng.choice(["temperature", "temperature", "temp", "temp_c"])
        sky = rng.choice(["condition", "conditions", "weather", "description"])
        if rng.random() < 0.2:
            return f"{degrees} degrees and {cond}", f"The weather in {first} is {degrees} degrees and {cond}."
        return {key: degrees, sky: cond}, f"The weather in {first} is {cond} at {degrees} degrees."
    if kind == "status":
        state = rng.choice(["ok", "done", "sent", "failed", "confirmed", "shipped", "pending", "success", "error"])
        if rng.random() < 0.2:
            return state, f"The result is {state}."
        return {"status": state}, f"The status is {state}."
    value = rng.choice([number(rng), made_up(rng), person(rng), str(round(rng.uniform(0, 999), 2))])
    if rng.random() < 0.25:
        return value, f"The result is {value}."
    key = kind if rng.random() < 0.6 else rng.choice(["result", "value", "answer", "output", "data"])
    held = float(value) if "." in value else int(value) if value.isdigit() else value
    return {key: held}, f"The {key} is {held}."


def tool_call(name, arguments):
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def tools(rng, filler, draw=trained):
    """A conversation with tools: calls, results, two calls at once, and turns that need no call. Returns (messages, tools)."""
    mine = [made_up_tool(rng) if rng.random() < 0.45 else rng.choice(KNOWN_TOOLS) for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 4]))]
    mine = list({t.name: t for t in mine}.values())
    definitions = [t.definition(rng) for t in mine]
    messages = []
    for _ in range(rng.choice([1, 1, 2, 2, 3])):
        if rng.random() < 0.22:
            for q, a in filler(rng):
                messages += [{"role": "user", "content": q}, {"role": "assistant", "content": a}]
            continue
        tool = rng.choice(mine)
        request, values = tool.call(rng, draw)
        calls, results = [tool_call(tool.name, values)], [outcome(rng, tool, values)]
        if rng.random() < 0.1:
            other = rng.choice(mine)
            request2, values2 = other.call(rng, draw)
            request += " " + request2
            calls.append(tool_call(other.name, values2))
            results.append(outcome(rng, other, values2))
        messages += [{"role": "user", "content": request}, {"role": "assistant", "content": "", "tool_calls": calls}]
        if rng.random() < 0.75:
            for result, _ in results:
                messages.append({"role": "tool", "content": result if isinstance(result, str) else json.dumps(result)})
            messages.append({"role": "assistant", "content": " ".join(answer for _, answer in results)})
        else:
            break
    return messages, definitions


FIELDS = {"name": "name", "age": "small", "city": "city", "job": "job", "number": "int", "code": "id", "thing": "object", "date": "date", "owner": "name", "price": "float"}
KINDS["any"] = (lambda r: r.choice(r.choice(POOLS)) if r.random() < 0.7 else made_up(r), "string")
KINDS["job"] = (lambda r: r.choice(JOBS), "string")
KINDS["object"] = (lambda r: r.choice(OBJECTS), "string")


def json_object(rng, draw=trained):
    """Put values from the request into a JSON object with the keys that were asked for."""
    count = rng.randint(1, 4)
    kinds = {k: FIELDS[k] for k in rng.sample(list(FIELDS), count)}
    if rng.random() < 0.4:      # any key, any value
        kinds = {rng.choice(rng.choice(POOLS)) if rng.random() < 0.6 else made_up(rng): rng.choice(["any", "any", "int", "id"]) for _ in range(count)}
    keys = list(kinds)
    values = {k: draw("tool " + kinds[k], KINDS[kinds[k]][0], rng) for k in keys}
    listed = ", ".join(f"{k} {v}" for k, v in values.items())
    said = ", ".join(f"{k}: {v}" for k, v in values.items())
    names = ", ".join(keys)
    q = rng.choice([f"Write as JSON: {listed}", f"Make a JSON object from this: {said}", f"JSON with the keys {names}. {said}", f"Convert to JSON: {said}",
                    f"{said}\nAnswer with a JSON object with the keys {names}.", f"Turn this into JSON: {listed}", f"Give me this as JSON: {said}"])
    return [(q, values)]
