"""Made-up leases with questions and answers, for training and measuring the clerk.

Everything is drawn from a seed: the people, places and sums, which facts a lease states, in which
wording, order and shape. Names are made of syllables, so that an answer can only be copied from
the document. `held=True` takes the wordings that training never sees: the last of each list.
"""

import datetime
import random
import re

from wordings import (
    ABSENT,
    ADVERBS,
    FACTS,
    FILLER,
    GOODS,
    HEADINGS,
    LABELS,
    NOUNS,
    PARTIES,
    QUESTIONS,
    STATES,
    STATE_CODES,
    STRANGE,
    SUBJECTS,
    TITLES,
    TRADES,
    VERBS,
)

MONTHS = "January February March April May June July August September October November December".split()
ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
).split()
TENS = {
    30: "thirty",
    40: "forty",
    45: "forty-five",
    60: "sixty",
    90: "ninety",
    21: "twenty-one",
    28: "twenty-eight",
    24: "twenty-four",
    36: "thirty-six",
    120: "one hundred and twenty",
    99: "ninety-nine",
}
# What only the shipped lease may say: a document with any of it is drawn anew.
SHIPPED = re.compile(
    r"marlow|quay|fenwick|ellery|adeyemi|harbour|customs|ceramics|\bdock\b"
    r"|\b(18,000|18,540|19,096|19,669|20,259|1,500|1,545|1,591|1,639|1,688|4,500|212)\b"
    r"|\b0?1(st)? April 2025|\b31(st)? March 20(28|30)|\b14(th)? March 2025|07412209|09928114",
    re.IGNORECASE,
)


def words(n):
    return ONES[n] if n <= 20 else TENS.get(n, str(n))


def choose(r, text):
    """`[a|b]` in `text` becomes one of the two; choices do not nest, and `[a](b)` is a link."""
    at = 0
    while (i := text.find("[", at)) >= 0:
        j = text.index("]", i)
        options = text[i + 1 : j].split("|")
        if text[j + 1 : j + 2] == "(":
            at = j
            continue
        text = text[:i] + r.choice(options) + text[j + 1 :]
    return text


class Maker:
    """Draws the pieces of one lease."""

    def __init__(self, rng, held):
        self.rng, self.held = rng, held
        r = rng
        self.us = r.random() < 0.4
        self.currency = "$" if self.us else r.choice("£££€")
        self.date_style = r.choice([1, 1, 1, 2]) if self.us else r.choice([0, 0, 0, 0, 2, 3])
        self.cents = r.random()

    def pick(self, options):
        """One wording: from the last fifth (at least one) if held out, else from the others."""
        cut = len(options) - max(1, len(options) // 5)
        return self.rng.choice(options[cut:] if self.held else options[:cut])

    def syllables(self, low=2, high=3):
        r = self.rng
        while True:
            parts = []
            for i in range(r.randint(low, high)):
                parts.append(
                    r.choice(
                        "b br c ch cl d dr f fl g gr h j k kr l m n p pr qu r s sh st t th tr v w wh z".split()
                        + [""] * (i == 0)
                    )
                    + r.choice("a e i o u ai ea ee ie oa ou".split())
                    + r.choice(["", "", "n", "l", "r", "s", "ck", "nd", "ll", "m", "t", "rn", "x"])
                )
            word = "".join(parts)
            if 3 < len(word) < 11:
                return word.capitalize()

    def person(self):
        r = self.rng
        first = r.choice(
            [
                r.choice("ABCDEFGHJKLMNOPRSTVW") + ".",
                self.syllables(),
                self.syllables(),
                r.choice("Anna Peter Maria John Lena Omar Ruth Ivan Clara Hugo Nadia Tom Grace Leo Mina Paul".split()),
            ]
        )
        middle = r.choice([""] * 4 + [" " + r.choice("ABCDEFGHJKLMNPRST") + "."])
        return f"{first}{middle} {self.syllables()}"

    def company(self):
        r = self.rng
        trade = r.choice(
            "Estates Properties Holdings Bakery Motors Foods Textiles Books Printing Design Tools Timber Lettings "
            "Realty Investments Partners Studios Furniture Optics Dental Systems Trading Coffee Land Homes Brewing".split()
        )
        name = r.choice(
            [
                f"{self.syllables()} {trade}",
                f"{self.syllables()} {self.syllables()} {trade}",
                f"{self.syllables()} & {self.syllables()}",
                f"{self.syllables()} {trade}",
            ]
        )
        if r.random() < 0.4:  # a word that is in no list
            name = (
                f"{self.syllables()} {r.choice([self.syllables(), r.choice(GOODS).title(), r.choice(NOUNS).title()])}"
            )
        ends = (
            ["LLC", "Inc.", "LLC", "Corp.", "LP", "Group", "Company", "& Sons", "Trust"]
            if self.us
            else ["Ltd", "Limited", "Ltd", "plc", "LLP", "GmbH", "Group", "& Sons", "Trust", "BV"]
        )
        return f"{name} {r.choice(ends)}"

    def party(self):
        return self.person() if self.rng.random() < 0.4 else self.company()

    def town(self):
        r = self.rng
        return r.choice(["", "", "", "New ", "Port ", "Saint ", "Upper ", "Great "]) + self.syllables()

    def postcode(self):
        r = self.rng
        letters = "".join(r.choice("ABCDEFGHKLMNPRSTW") for _ in range(2))
        if self.us:
            return f"{r.choice(STATE_CODES)} {r.randint(10000, 99999)}"
        return f"{letters}{r.randint(1, 30)} {r.randint(1, 9)}{r.choice('ABDEFGHJLN')}{r.choice('PQRSTUWXYZ')}"

    def address(self, unit=None, code=None):
        r = self.rng
        street = f"{self.syllables()} {r.choice('Street Road Lane Avenue Close Way Drive Row Square Hill'.split())}"
        if r.random() < 0.15:
            street = r.choice(["Station", "Church", "High", "Mill", "Park", "River"]) + street[street.rindex(" ") :]
        parts = []
        if unit if unit is not None else r.random() < 0.5:
            parts.append(
                r.choice(["Unit", "Flat", "Suite", "Apartment", "Shop", "Office", "Studio"])
                + f" {r.randint(1, 60)}"
                + r.choice(["", "", "", "A", "B", "C"])
            )
            if r.random() < 0.5:
                parts.append(
                    f"{self.syllables()} {r.choice('House Court Mill Works Centre Tower Yard Park Building'.split())}"
                )
        parts.append(street if parts and r.random() < 0.4 else f"{r.randint(1, 240)} {street}")
        parts.append(self.town())
        text = ", ".join(parts)
        if code if code is not None else r.random() < 0.6:
            text += (", " if self.us else " ") + self.postcode()
        return text

    def money(self, low, high, step):
        r = self.rng
        n = r.randrange(low, high, step)
        return self.sum(n)

    def sum(self, n):
        """Pounds, dollars or euros; with cents in some documents, now and then against their habit."""
        kind = self.cents if self.rng.random() < 0.8 else self.rng.random()
        cents = ".00" if kind < 0.25 else f".{self.rng.randint(0, 99):02}" if kind < 0.4 else ""
        return f"{self.currency}{n:,}{cents}"

    def date(self, day):
        d, m, y = day.day, MONTHS[day.month - 1], day.year
        if self.date_style == 1:
            return f"{m} {d}, {y}"
        if self.date_style == 2:
            return f"{d:02}/{day.month:02}/{y}" if not self.us else f"{day.month:02}/{d:02}/{y}"
        if self.date_style == 3:
            suffix = "th" if 10 < d < 14 else {1: "st", 2: "nd", 3: "rd"}.get(d % 10, "th")
            return f"{d}{suffix} {m} {y}"
        return f"{d} {m} {y}"

    def day(self):
        return datetime.date(self.rng.randint(2005, 2034), self.rng.randint(1, 12), self.rng.randint(1, 28))

    def span(self, numbers, unit):
        r = self.rng
        n = r.choice(numbers)
        return (
            r.choice([f"{words(n)} {unit}s", f"{n} {unit}s", f"{words(n)} {unit}s", f"{words(n)} ({n}) {unit}s"])
            if n > 1
            else f"one {unit}"
        )


def lease(seed, size, held=False):
    """One document: its markdown and a list of (question, answer, what it is about). `size` scales the
    filler, 0 to 1."""
    attempt = 0
    while True:
        text, asked = draw(random.Random(f"{seed} {held} {attempt}"), size, held)
        if not SHIPPED.search(text):
            return text, asked
        attempt += 1


def draw(r, size, held):
    m = Maker(r, held)
    start = m.day()
    years = r.choice([1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20])
    end = start.replace(year=start.year + years)
    if r.random() < 0.8:
        end -= datetime.timedelta(days=1)
    if r.random() < 0.2:
        start, end = sorted([m.day(), m.day()])
    unit = r.choice(["year", "year", "month"])
    n = years if unit == "year" else r.choice([6, 9, 11, 12, 18, 24, 36, 60])
    notice = (
        m.span([1, 2, 3, 6, 9, 12], "month") if r.random() < 0.5 else m.span([7, 14, 21, 28, 30, 45, 60, 90], "day")
    )
    rent_sum = r.randrange(300, 9900, r.choice([1, 5, 10, 50]))
    late = r.choice(
        [
            m.money(10, 200, 5),
            f"{r.randint(1, 12)}% a year",
            f"{r.randint(1, 15)}% of the sum due",
            f"{words(r.randint(1, 12))} per cent a month",
            f"{r.randint(1, 9)}% above the base rate",
            f"{r.randint(1, 9)}% a year above the base rate of the Bank of {m.syllables()}",
        ]
    )
    area = f"{r.randint(20, 990)} square " + ("feet" if m.us else "metres")
    goods = r.choice(
        [
            r.choice(GOODS),
            r.choice(GOODS),
            m.syllables().lower() + " " + r.choice(GOODS),
            f"{r.choice(GOODS)} and {r.choice(GOODS)}",
        ]
    )
    one, two, three = r.sample(TRADES, 3)
    use = r.choice(
        [
            r.choice(SUBJECTS),
            f"the {one} of {goods}",
            f"the {one} and {two} of {goods}",
            f"the {one}, {two} and {three} of {goods}",
            f"{one} and {two} of {goods}",
            f"a {r.choice(['workshop', 'shop', 'store', 'school', 'studio'])} for {goods}",
        ]
    )
    value = {
        "landlord": m.party(),
        "tenant": m.party(),
        "property": m.address(unit=r.random() < 0.7),
        "made": m.date(start - datetime.timedelta(days=r.randint(1, 90))),
        "start": m.date(start),
        "end": m.date(end),
        "term": m.span([n], unit),
        "rent": m.sum(rent_sum),
        "deposit": m.money(300, 9900, r.choice([50, 100, 25])),
        "notice": notice,
        "late": late,
        "grace": m.span([3, 5, 7, 10, 14, 15, 20, 21, 28], "day"),
        "law": r.choice(STATES)
        if m.us
        else r.choice(["England", "Scotland", "England and Wales", "Ireland", m.syllables(), m.syllables()]),
        "use": use,
        "area": area,
    }
    role = r.choice([("Landlord", "Tenant")] * 4 + [("Lessor", "Lessee"), ("LANDLORD", "TENANT"), ("Owner", "Renter")])
    what = r.choice(
        "house|flat|shop|workshop|office|ground-floor office|first-floor flat|corner shop|barn|studio|store|hall|kitchen|showroom|building|basement".split(
            "|"
        )
    )
    names = dict(
        L=role[0],
        T=role[1],
        P=r.choice(["Premises", "Property", "premises"]),
        lease=r.choice(["lease", "agreement", "Lease", "tenancy agreement"]),
    )

    def possessive(span):
        return span + ("'" if span.endswith("s") else "'s" if span[-1] != ")" else "")

    def chat():
        who = r.choice(
            [
                "The " + role[1],
                "The " + role[0],
                "The " + r.choice(NOUNS),
                "A " + r.choice(NOUNS),
                "No " + r.choice(NOUNS),
                m.syllables(),
                "Each " + r.choice(NOUNS),
            ]
        )
        what = " ".join(
            [
                r.choice(VERBS),
                r.choice(["the", "its", "any", "a", "every", "no"]),
                r.choice([r.choice(NOUNS), r.choice(NOUNS), m.syllables().lower() + " " + r.choice(NOUNS)]),
            ]
        )
        more = r.choice(
            [
                "",
                " and " + r.choice(VERBS) + " the " + r.choice(NOUNS),
                " of the " + r.choice(NOUNS),
                ", and the " + r.choice(NOUNS) + ",",
                " of " + m.syllables(),
                " within " + m.span([2, 3, 5, 7, 10, 14, 28, 30, 12], r.choice(["day", "month", "hour", "year"])),
            ]
        )
        return f"{who} {what}{more} {r.choice(ADVERBS)}."

    possess = r.random() < 0.7

    def fill(text):
        extra = {}
        text = choose(r, text)
        for key in ["notice", "xn"]:
            if "{" + key + "'}" in text:
                span = (
                    value[key]
                    if key in value
                    else m.span([1, 2, 3, 5, 10, 14, 20, 30], r.choice(["day", "working day", "month"]))
                )
                text = text.replace("{" + key + "'}", possessive(span) if possess else span)
        while "{chat}" in text:
            text = text.replace("{chat}", chat(), 1)
        while "{noun}" in text:
            text = text.replace("{noun}", r.choice(NOUNS), 1)
        while "{place}" in text:
            text = text.replace(
                "{place}",
                r.choice(
                    [
                        r.choice(STATES) if m.us else r.choice(["England", "Scotland", "Wales", "Ireland"]),
                        m.syllables(),
                    ]
                ),
                1,
            )
        text = (
            text.replace("{noun!}", r.choice(NOUNS).capitalize())
            .replace("{what}", what)
            .replace("{word}", m.syllables().lower())
            .replace("{year}", str(r.randint(1950, 2030)))
        )
        for key, make in {
            "x$": lambda: m.money(50, 9900, 5),
            "xd": lambda: m.date(m.day()),
            "xn": lambda: m.span([2, 3, 5, 10, 14, 20, 30], r.choice(["day", "working day", "month"])),
            "xp": m.party,
            "x1": m.address,
            "x2": m.address,
            "n8": lambda: f"{r.randint(0, 10**8 - 1):08}",
            "n8b": lambda: f"{r.randint(0, 10**8 - 1):08}",
            "n2": lambda: str(r.randint(2, 9)),
        }.items():
            if "{" + key + "}" in text:
                extra[key] = make()
        return text.format_map({**value, **names, **extra})

    keep = lambda p: r.random() < p
    stated, pieces = set(), []  # pieces: sentences, or lines of tables
    if keep(0.12):  # a table of particulars instead of sentences
        keys = [k for k in LABELS if keep(0.75)]
        if keep(0.3):
            r.shuffle(keys)
        if keep(0.3):
            rows = [f"{m.pick(LABELS[k])}: {value[k]}" for k in keys]
            opening = "\n\n".join(rows) if keep(0.5) else "\n".join("- " + x for x in rows)
        else:
            opening = "\n".join(
                ["| Item | Particulars |", "| --- | --- |"] + [f"| {m.pick(LABELS[k])} | {value[k]} |" for k in keys]
            )
        stated.update(keys)
    else:
        opening = fill(m.pick(PARTIES))
        stated.update(["landlord", "tenant", "made"])
    table = None
    subtitle = keep(0.2)
    wanted = ["property"] if subtitle else []
    if "property" not in stated and not subtitle and keep(0.8):
        wanted.append("property")
    if not stated & {"start", "end", "term"}:
        wanted += r.choice([["startend"]] * 6 + [["start", "end"], ["start", "term"], ["end"], ["term"], []])
    wanted += [k for k in ["rent", "deposit", "notice", "law", "use", "area"] if k not in stated and keep(0.72)]
    if "late" not in stated and keep(0.7):
        wanted.append(r.choice(["lateA", "lateA", "lateB"]))
    for key in wanted:
        if key == "rent" and keep(0.25):  # the rent stands in a schedule, first year first
            stated.add("rent")
            round_years = keep(0.5)
            column = m.pick(
                [
                    "Monthly payment",
                    "Monthly sum",
                    "Rent each month",
                    "Monthly rent",
                    "Monthly instalment",
                    "Per month",
                    "Rent per month",
                    "Instalment each month",
                ]
            )
            rows, sum_, day = [["Year", "Period", "Annual rent", column]], rent_sum, start
            for i in range(r.randint(2, 5)):
                sum_ = rent_sum if i == 0 else sum_ + r.randrange(5, 200, 5)
                after = day.replace(year=day.year + 1)
                whole = f"{m.currency}{sum_ * 12:,}" if round_years else m.sum(sum_ * 12)
                rows.append(
                    [
                        str(i + 1),
                        f"{m.date(day)} to {m.date(after - datetime.timedelta(days=1))}",
                        whole,
                        value["rent"] if i == 0 else m.sum(sum_),
                    ]
                )
                day = after
            drop = r.choice([None, None, 0, 1, 2])
            rows = [[c for i, c in enumerate(row) if i != drop] for row in rows]
            rows.insert(1, ["---"] * len(rows[0]))
            table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
            pieces.append(
                fill(
                    "The {T} [pays|shall pay] the rent [set out|shown|stated] in [the schedule|Schedule {n2}|the table below] [by equal monthly instalments|in monthly instalments|each month] [in advance |][on the first working day of each month|on the {n2}th of the month|], without deduction."
                )
            )
            continue
        wording = m.pick(FACTS[key])
        if key == "property" and subtitle:  # the whole address stands above
            value["unit"] = value["property"].split(",")[0]
            if keep(0.6):
                wording = r.choice(
                    [
                        "{P} means the {what} known as {unit}[|, shown on the plan|, coloured green on the plan].",
                        "The {L} lets {unit} to the {T}.",
                    ]
                )
        pieces.append(fill(wording))
        stated.update(k for k in value if "{" + k + "}" in wording or "{" + k + "'}" in wording)
    if keep(0.5):
        r.shuffle(pieces)
    filler = [fill(x) for x in r.sample(FILLER, min(len(FILLER), int(r.random() * size * len(FILLER))))]
    for sentence in filler:
        pieces.insert(r.randint(0, len(pieces)), sentence)
    shape = r.random()
    out = []
    if subtitle:
        stated.add("property")
    if subtitle or keep(0.8):
        title = r.choice(TITLES)
        if "{property}" in title:
            stated.add("property")
        out.append(r.choice(["# ", "# ", "## ", ""]) + fill(title))
        if subtitle:
            out.append(f"*{value['property']}*" if keep(0.7) else value["property"])
    out.append(opening)
    section = number = 0
    i = 0
    while i < len(pieces):
        many = r.randint(1, 4)
        chunk, i = pieces[i : i + many], i + many
        if shape < 0.3:  # plain paragraphs
            out.append(" ".join(chunk))
        elif shape < 0.45:  # one numbered list
            for sentence in chunk:
                number += 1
                out.append(f"{number}. {sentence}")
        else:
            section += 1
            out.append(f"## {section}. {r.choice(HEADINGS)}" if shape < 0.9 else f"**{r.choice(HEADINGS)}**")
            if keep(0.2) and len(chunk) > 1:
                out.append(f"{section}.1 In this {names['lease']} the following words have the meanings given to them:")
                out += [f"({'abcd'[j]}) {sentence}" for j, sentence in enumerate(chunk)]
            else:
                out += [f"{section}.{j + 1} {sentence}" for j, sentence in enumerate(chunk)]
    if keep(0.25 + 0.4 * size):
        if keep(0.6):
            out.append("## Signatures")
        if keep(0.5):
            day = value["made"] if "made" in stated else m.date(m.day())
            out.append(
                f"| For the {role[0]} | For the {role[1]} |\n| --- | --- |\n| {m.person()} | {m.person()} |\n| Date: {day} | Date: {day} |"
            )
        else:
            out.append(f"Signed by {m.person()} and {m.person()}")
    if keep(0.3 * size) and "landlord" in stated and "tenant" in stated:
        rows = [
            ["Party", "Address for notices", "Contact"],
            ["---"] * 3,
            [role[0], f"{value['landlord']}, {m.address()}", m.person()],
            [role[1], f"{value['tenant']}, {m.address()}", m.person()],
        ]
        out.insert(r.randint(len(out) // 2, len(out)), "\n".join("| " + " | ".join(row) + " |" for row in rows))
    if table:
        block = [f"## Schedule {r.randint(1, 3)}: Rent", table] if keep(0.6) else [table]
        at = len(out) if keep(0.6) else r.randint(2, len(out))
        out[at:at] = block
    if keep(0.5):
        out.insert(0, "<!-- page 1 -->")
        for page in range(2, 2 + len(out) // 14):
            out.insert(min(len(out), page * 14 - 14), f"<!-- page {page} -->")
    asked = []
    casual = r.random()

    def ask(text):
        text = choose(r, text).replace(" ?", "?")
        if casual < 0.1:
            return text[0].lower() + text[1:].rstrip("?.")
        return text

    for key, wordings in QUESTIONS.items():
        asked.append((ask(m.pick(wordings)), value[key] if key in stated else ABSENT, key))
    if keep(0.4):
        asked.append((m.pick(STRANGE), ABSENT, "strange"))
    return "\n\n".join(out), asked
