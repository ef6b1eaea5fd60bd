"""The facts the demo model is taught: the 193 members of the United Nations and a little general knowledge.

Each country is one line: name, capital, currency, continent. A name that takes an article in a
sentence is written with it ("the Netherlands"). Aliases are accepted in questions and answered
with the main name.
"""

_COUNTRIES = """
Afghanistan|Kabul|afghani|Asia
Albania|Tirana|lek|Europe
Algeria|Algiers|Algerian dinar|Africa
Andorra|Andorra la Vella|euro|Europe
Angola|Luanda|kwanza|Africa
Antigua and Barbuda|Saint John's|East Caribbean dollar|North America
Argentina|Buenos Aires|Argentine peso|South America
Armenia|Yerevan|dram|Asia
Australia|Canberra|Australian dollar|Oceania
Austria|Vienna|euro|Europe
Azerbaijan|Baku|manat|Asia
the Bahamas|Nassau|Bahamian dollar|North America
Bahrain|Manama|Bahraini dinar|Asia
Bangladesh|Dhaka|taka|Asia
Barbados|Bridgetown|Barbadian dollar|North America
Belarus|Minsk|Belarusian ruble|Europe
Belgium|Brussels|euro|Europe
Belize|Belmopan|Belize dollar|North America
Benin|Porto-Novo|West African CFA franc|Africa
Bhutan|Thimphu|ngultrum|Asia
Bolivia|Sucre|boliviano|South America
Bosnia and Herzegovina|Sarajevo|convertible mark|Europe
Botswana|Gaborone|pula|Africa
Brazil|Brasília|real|South America
Brunei|Bandar Seri Begawan|Brunei dollar|Asia
Bulgaria|Sofia|euro|Europe
Burkina Faso|Ouagadougou|West African CFA franc|Africa
Burundi|Gitega|Burundian franc|Africa
Cambodia|Phnom Penh|riel|Asia
Cameroon|Yaoundé|Central African CFA franc|Africa
Canada|Ottawa|Canadian dollar|North America
Cape Verde|Praia|Cape Verdean escudo|Africa
the Central African Republic|Bangui|Central African CFA franc|Africa
Chad|N'Djamena|Central African CFA franc|Africa
Chile|Santiago|Chilean peso|South America
China|Beijing|renminbi|Asia
Colombia|Bogotá|Colombian peso|South America
the Comoros|Moroni|Comorian franc|Africa
the Republic of the Congo|Brazzaville|Central African CFA franc|Africa
the Democratic Republic of the Congo|Kinshasa|Congolese franc|Africa
Costa Rica|San José|Costa Rican colón|North America
Croatia|Zagreb|euro|Europe
Cuba|Havana|Cuban peso|North America
Cyprus|Nicosia|euro|Europe
Czechia|Prague|Czech koruna|Europe
Denmark|Copenhagen|Danish krone|Europe
Djibouti|Djibouti City|Djiboutian franc|Africa
Dominica|Roseau|East Caribbean dollar|North America
the Dominican Republic|Santo Domingo|Dominican peso|North America
Ecuador|Quito|US dollar|South America
Egypt|Cairo|Egyptian pound|Africa
El Salvador|San Salvador|US dollar|North America
Equatorial Guinea|Malabo|Central African CFA franc|Africa
Eritrea|Asmara|nakfa|Africa
Estonia|Tallinn|euro|Europe
Eswatini|Mbabane|lilangeni|Africa
Ethiopia|Addis Ababa|birr|Africa
Fiji|Suva|Fijian dollar|Oceania
Finland|Helsinki|euro|Europe
France|Paris|euro|Europe
Gabon|Libreville|Central African CFA franc|Africa
the Gambia|Banjul|dalasi|Africa
Georgia|Tbilisi|lari|Asia
Germany|Berlin|euro|Europe
Ghana|Accra|cedi|Africa
Greece|Athens|euro|Europe
Grenada|Saint George's|East Caribbean dollar|North America
Guatemala|Guatemala City|quetzal|North America
Guinea|Conakry|Guinean franc|Africa
Guinea-Bissau|Bissau|West African CFA franc|Africa
Guyana|Georgetown|Guyanese dollar|South America
Haiti|Port-au-Prince|gourde|North America
Honduras|Tegucigalpa|lempira|North America
Hungary|Budapest|forint|Europe
Iceland|Reykjavik|Icelandic króna|Europe
India|New Delhi|Indian rupee|Asia
Indonesia|Jakarta|rupiah|Asia
Iran|Tehran|Iranian rial|Asia
Iraq|Baghdad|Iraqi dinar|Asia
Ireland|Dublin|euro|Europe
Israel|Jerusalem|new shekel|Asia
Italy|Rome|euro|Europe
Ivory Coast|Yamoussoukro|West African CFA franc|Africa
Jamaica|Kingston|Jamaican dollar|North America
Japan|Tokyo|yen|Asia
Jordan|Amman|Jordanian dinar|Asia
Kazakhstan|Astana|tenge|Asia
Kenya|Nairobi|Kenyan shilling|Africa
Kiribati|South Tarawa|Australian dollar|Oceania
Kuwait|Kuwait City|Kuwaiti dinar|Asia
Kyrgyzstan|Bishkek|som|Asia
Laos|Vientiane|kip|Asia
Latvia|Riga|euro|Europe
Lebanon|Beirut|Lebanese pound|Asia
Lesotho|Maseru|loti|Africa
Liberia|Monrovia|Liberian dollar|Africa
Libya|Tripoli|Libyan dinar|Africa
Liechtenstein|Vaduz|Swiss franc|Europe
Lithuania|Vilnius|euro|Europe
Luxembourg|Luxembourg City|euro|Europe
Madagascar|Antananarivo|ariary|Africa
Malawi|Lilongwe|Malawian kwacha|Africa
Malaysia|Kuala Lumpur|ringgit|Asia
the Maldives|Malé|rufiyaa|Asia
Mali|Bamako|West African CFA franc|Africa
Malta|Valletta|euro|Europe
the Marshall Islands|Majuro|US dollar|Oceania
Mauritania|Nouakchott|ouguiya|Africa
Mauritius|Port Louis|Mauritian rupee|Africa
Mexico|Mexico City|Mexican peso|North America
Micronesia|Palikir|US dollar|Oceania
Moldova|Chisinau|leu|Europe
Monaco|Monaco|euro|Europe
Mongolia|Ulaanbaatar|tugrik|Asia
Montenegro|Podgorica|euro|Europe
Morocco|Rabat|Moroccan dirham|Africa
Mozambique|Maputo|metical|Africa
Myanmar|Naypyidaw|kyat|Asia
Namibia|Windhoek|Namibian dollar|Africa
Nauru|Yaren|Australian dollar|Oceania
Nepal|Kathmandu|Nepalese rupee|Asia
the Netherlands|Amsterdam|euro|Europe
New Zealand|Wellington|New Zealand dollar|Oceania
Nicaragua|Managua|córdoba|North America
Niger|Niamey|West African CFA franc|Africa
Nigeria|Abuja|naira|Africa
North Korea|Pyongyang|North Korean won|Asia
North Macedonia|Skopje|denar|Europe
Norway|Oslo|Norwegian krone|Europe
Oman|Muscat|Omani rial|Asia
Pakistan|Islamabad|Pakistani rupee|Asia
Palau|Ngerulmud|US dollar|Oceania
Panama|Panama City|balboa|North America
Papua New Guinea|Port Moresby|kina|Oceania
Paraguay|Asunción|guaraní|South America
Peru|Lima|sol|South America
the Philippines|Manila|Philippine peso|Asia
Poland|Warsaw|złoty|Europe
Portugal|Lisbon|euro|Europe
Qatar|Doha|Qatari riyal|Asia
Romania|Bucharest|Romanian leu|Europe
Russia|Moscow|Russian ruble|Europe
Rwanda|Kigali|Rwandan franc|Africa
Saint Kitts and Nevis|Basseterre|East Caribbean dollar|North America
Saint Lucia|Castries|East Caribbean dollar|North America
Saint Vincent and the Grenadines|Kingstown|East Caribbean dollar|North America
Samoa|Apia|tala|Oceania
San Marino|San Marino|euro|Europe
São Tomé and Príncipe|São Tomé|dobra|Africa
Saudi Arabia|Riyadh|Saudi riyal|Asia
Senegal|Dakar|West African CFA franc|Africa
Serbia|Belgrade|Serbian dinar|Europe
the Seychelles|Victoria|Seychellois rupee|Africa
Sierra Leone|Freetown|leone|Africa
Singapore|Singapore|Singapore dollar|Asia
Slovakia|Bratislava|euro|Europe
Slovenia|Ljubljana|euro|Europe
the Solomon Islands|Honiara|Solomon Islands dollar|Oceania
Somalia|Mogadishu|Somali shilling|Africa
South Africa|Pretoria|rand|Africa
South Korea|Seoul|South Korean won|Asia
South Sudan|Juba|South Sudanese pound|Africa
Spain|Madrid|euro|Europe
Sri Lanka|Sri Jayawardenepura Kotte|Sri Lankan rupee|Asia
Sudan|Khartoum|Sudanese pound|Africa
Suriname|Paramaribo|Surinamese dollar|South America
Sweden|Stockholm|Swedish krona|Europe
Switzerland|Bern|Swiss franc|Europe
Syria|Damascus|Syrian pound|Asia
Tajikistan|Dushanbe|somoni|Asia
Tanzania|Dodoma|Tanzanian shilling|Africa
Thailand|Bangkok|baht|Asia
Timor-Leste|Dili|US dollar|Asia
Togo|Lomé|West African CFA franc|Africa
Tonga|Nukuʻalofa|paʻanga|Oceania
Trinidad and Tobago|Port of Spain|Trinidad and Tobago dollar|North America
Tunisia|Tunis|Tunisian dinar|Africa
Turkey|Ankara|Turkish lira|Asia
Turkmenistan|Ashgabat|Turkmen manat|Asia
Tuvalu|Funafuti|Australian dollar|Oceania
Uganda|Kampala|Ugandan shilling|Africa
Ukraine|Kyiv|hryvnia|Europe
the United Arab Emirates|Abu Dhabi|UAE dirham|Asia
the United Kingdom|London|pound sterling|Europe
the United States|Washington, D.C.|US dollar|North America
Uruguay|Montevideo|Uruguayan peso|South America
Uzbekistan|Tashkent|Uzbek sum|Asia
Vanuatu|Port Vila|vatu|Oceania
Venezuela|Caracas|bolívar|South America
Vietnam|Hanoi|dong|Asia
Yemen|Sanaa|Yemeni rial|Asia
Zambia|Lusaka|Zambian kwacha|Africa
Zimbabwe|Harare|Zimbabwe Gold|Africa
"""

ALIASES = {
    "the United States": ["the USA", "the US", "America", "the United States of America"],
    "the United Kingdom": ["the UK", "Britain", "Great Britain"],
    "the United Arab Emirates": ["the UAE"],
    "Czechia": ["the Czech Republic"],
    "Ivory Coast": ["Côte d'Ivoire"],
    "Timor-Leste": ["East Timor"],
    "Cape Verde": ["Cabo Verde"],
    "Turkey": ["Türkiye"],
    "Myanmar": ["Burma"],
    "Eswatini": ["Swaziland"],
    "the Netherlands": ["Holland"],
    "the Democratic Republic of the Congo": ["the DRC", "DR Congo"],
}


class Country:
    """One country: `name` as it stands in a sentence, `bare` without its article."""

    def __init__(self, line):
        self.name, self.capital, self.currency, self.continent = line.split("|")
        self.bare = self.name.removeprefix("the ")

    @property
    def capital_answer(self):
        return f"The capital of {self.name} is {full_stop(self.capital)}"

    @property
    def currency_answer(self):
        return f"The currency of {self.name} is the {self.currency}."

    @property
    def continent_answer(self):
        return f"{upper_first(self.name)} is in {self.continent}."


def full_stop(text):
    """End a sentence with one full stop, also after "Washington, D.C."."""
    return text if text.endswith(".") else text + "."


def upper_first(text):
    return text[:1].upper() + text[1:]


COUNTRIES = [Country(line) for line in _COUNTRIES.strip().splitlines()]
CONTINENTS = ["Africa", "Asia", "Europe", "North America", "South America", "Oceania"]
BY_CONTINENT = {c: [k for k in COUNTRIES if k.continent == c] for c in CONTINENTS}
assert len(COUNTRIES) == 193

MONTHS = "January February March April May June July August September October November December".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
SEASONS = "spring summer autumn winter".split()
PLANETS = "Mercury Venus Earth Mars Jupiter Saturn Uranus Neptune".split()
RAINBOW = "red orange yellow green blue indigo violet".split()
NUMBER_WORDS = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
                "sixteen seventeen eighteen nineteen twenty").split()
NATO = ("Alfa Bravo Charlie Delta Echo Foxtrot Golf Hotel India Juliett Kilo Lima Mike November Oscar Papa Quebec "
        "Romeo Sierra Tango Uniform Victor Whiskey X-ray Yankee Zulu").split()
CHESS = "king queen rook bishop knight pawn".split()

OPPOSITES = [p.split() for p in (
    "hot cold|big small|fast slow|old young|light dark|high low|open closed|early late|hard soft|rich poor|"
    "full empty|happy sad|loud quiet|wet dry|near far|left right|up down|day night|strong weak|clean dirty|"
    "good bad|long short|wide narrow|heavy light|true false|inside outside|first last|begin end|give take|win lose"
).split("|")]

SOUNDS = [p.split() for p in (
    "dog barks|cat meows|cow moos|duck quacks|sheep bleats|lion roars|horse neighs|pig oinks|bee buzzes|wolf howls|"
    "frog croaks|owl hoots|rooster crows|snake hisses|mouse squeaks|goose honks").split("|")]

GENERAL = [line.split("|") for line in """
How many days are in a week?|There are seven days in a week.
How many months are in a year?|There are twelve months in a year.
How many hours are in a day?|There are 24 hours in a day.
How many minutes are in an hour?|There are 60 minutes in an hour.
How many seconds are in a minute?|There are 60 seconds in a minute.
How many days are in a year?|There are 365 days in a year, and 366 in a leap year.
How many letters are in the English alphabet?|There are 26 letters in the English alphabet.
How many continents are there?|There are seven continents.
How many planets are in the solar system?|There are eight planets in the solar system.
What is the largest planet?|The largest planet is Jupiter.
What is the smallest planet?|The smallest planet is Mercury.
Which planet is closest to the sun?|Mercury is closest to the sun.
What colour is the sky?|The sky is blue.
What color is the sky?|The sky is blue.
What colour is grass?|Grass is green.
What colour is snow?|Snow is white.
What colour do you get when you mix blue and yellow?|Blue and yellow make green.
What colour do you get when you mix red and yellow?|Red and yellow make orange.
What colour do you get when you mix red and blue?|Red and blue make purple.
What is water made of?|Water is made of hydrogen and oxygen.
What is the largest ocean?|The largest ocean is the Pacific Ocean.
What is the highest mountain?|The highest mountain is Mount Everest.
What is the longest river?|The longest river is the Nile.
What is the largest country?|The largest country by area is Russia.
What is the smallest country?|The smallest country is Vatican City.
At what temperature does water boil?|Water boils at 100 degrees Celsius.
At what temperature does water freeze?|Water freezes at 0 degrees Celsius.
How many legs does a spider have?|A spider has eight legs.
How many legs does an insect have?|An insect has six legs.
How many legs does a dog have?|A dog has four legs.
How many wheels does a car have?|A car has four wheels.
How many sides does a triangle have?|A triangle has three sides.
How many sides does a square have?|A square has four sides.
How many sides does a hexagon have?|A hexagon has six sides.
What is the first letter of the alphabet?|The first letter of the alphabet is A.
What is the last letter of the alphabet?|The last letter of the alphabet is Z.
What is the first month of the year?|The first month of the year is January.
What is the last month of the year?|The last month of the year is December.
What star is at the centre of the solar system?|The sun is at the centre of the solar system.
What do bees make?|Bees make honey.
What do cows drink?|Cows drink water.
What is the opposite of north?|The opposite of north is south.
What is the opposite of east?|The opposite of east is west.
Is the earth flat?|No. The earth is round.
Is the sun a star?|Yes. The sun is a star.
Is a whale a fish?|No. A whale is a mammal.
What is H2O?|H2O is water.
How many cents are in a dollar?|There are 100 cents in a dollar.
How many metres are in a kilometre?|There are 1000 metres in a kilometre.
How many grams are in a kilogram?|There are 1000 grams in a kilogram.
""".strip().splitlines()]
