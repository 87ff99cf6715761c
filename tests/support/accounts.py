"""Accounts as the vendor's list gives them: varied, valid, and the same at every run.

    python -m tests.support.accounts > tests/corpus/accounts.ndjson

Each line is one account of seed 002. Together they have every status, tool, currency and role of a member:
present, empty, missing; names in many scripts, at their length limits, and with everything in them that text
processing stumbles over (combining marks, right-to-left, emoji sequences, quotes, ``${...}``).
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator

import orjson

COUNT = 1200
SEED = 2

PEOPLE = (  # first name, last name
    ("Ada", "Lovelace"),
    ("Zoë", "Brontë"),
    ("José", "Núñez Ibáñez"),
    ("François", "L'Écuyer"),
    ("Jürgen", "Groß"),
    ("Søren", "Ærø"),
    ("Łukasz", "Żółć"),
    ("Dvořák", "Příliš"),
    ("İpek", "Işık"),  # noqa: RUF001  a dotless i is meant
    ("Nguyễn", "Thị Minh Khai"),
    ("Þórdís", "Guðmundsdóttir"),
    ("Ольга", "Щербакова"),
    ("Ґалаґан", "Їжакевич"),
    ("Γιώργος", "Παπαδόπουλος"),
    ("محمد", "الفارسي"),
    ("فاطمه", "رضایی"),
    ("שרה", "כהן"),
    ("आरती", "शर्मा"),
    ("রবীন্দ্রনাথ", "ঠাকুর"),
    ("தமிழ்ச்செல்வி", "முருகன்"),
    ("สมชาย", "ใจดี"),
    ("ნინო", "ბერიძე"),
    ("Արամ", "Խաչատրյան"),
    ("አበበ", "በቀለ"),
    ("សុខ", "ចាន់ថា"),
    ("伟", "王"),
    ("太郎", "山田"),
    ("さくら", "髙橋"),
    ("민준", "김"),
    ("𠮷", "野家"),  # outside the basic plane
    ("Cafe\u0301", "Zu\u0308rich"),  # decomposed
    ("\u200fדוד\u200e", "O\u2019Neil"),  # noqa: RUF001  direction marks and a typographic quote
    ("👩‍👩‍👧‍👦", "🇨🇦"),  # sequences of many code points
    ("${$.email}", '"quoted" \\ back\\slash'),
    ("<b>Bold</b>", "Robert'); DROP TABLE accounts;--"),
    ("Line\nbreak", "Tab\there"),
    ("", "Nameless"),
    ("Mononym", ""),
    ("  padded  ", "\u00a0no-break\u00a0"),
    ("null", "undefined"),
    ("Straße", "ﬁnch"),  # change their length when their case is folded
)
ORGANIZATIONS = (
    "Acme",
    "Bürgeramt Köln",
    "株式会社さくら",
    "ООО «Ромашка»",  # noqa: RUF001  a Cyrillic O is meant
    "شركة النور",
    "A & B <Partners>",
    "",
    "E\u2028M",
)
ZONES = (
    "America/Toronto",
    "Europe/Paris",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "UTC",
    "America/St_Johns",
    "Asia/Tokyo",
)
LANGUAGES = ("en", "fr", "es", "de", "nl", "pt-BR", "zh-Hant", "ar")
CURRENCIES = ("USD", "CAD", "EUR", "GBP", "JPY")
PROFILES = (("1", "Trial"), ("2", "Solo"), ("17", "Team"), ("204", "Enterprise / illimité"), ("9", ""))
TOOLS = ("save", "scheduling", "call", "callTracking")
DOMAINS = ("example.com", "example.org", "mail.example.net", "xn--bcher-kva.example", "bücher.example")
TAGS = ("vip", "churn risk", "été", "試用", "a,b", "", "priorité «haute»", "🏷️", "x" * 255)
CREDITS = (0, 0.0, 12.5, 100, 99.99, -3.25, 1e-7, 123456789.01)


def accounts(count: int = COUNT, seed: int = SEED) -> Iterator[dict[str, object]]:
    """That many accounts; ids, resellerIds and userNames are unique."""
    chance = random.Random(seed)
    for number in range(count):
        yield account(number, chance)


def account(number: int, chance: random.Random) -> dict[str, object]:
    first, last = PEOPLE[number % len(PEOPLE)]
    email = f"{_local_part(number, chance)}@{chance.choice(DOMAINS)}"
    made: dict[str, object] = {"id": f"{100000 + number * 7}", "userName": email, "email": email}

    def sometimes(name: str, value: object, share: float = 0.7) -> None:
        if chance.random() < share:
            made[name] = value

    sometimes("firstName", first if number % 97 else first * (255 // max(1, len(first))), 0.95)
    sometimes("lastName", last, 0.9)
    sometimes("organization", chance.choice(ORGANIZATIONS))
    sometimes("preferences", _preferences(email, chance), 0.85)
    sometimes("currency", CURRENCIES[number % len(CURRENCIES)], 0.9)
    sometimes("resellerId", f"client-{number:05d}" if number % 31 else f"kunde/{number} ü+%", 0.6)
    sometimes("domain", chance.choice(("app.example.com", "booking.example.fr", "")), 0.8)
    made["created"] = _created(chance)
    sometimes("ssoToken", f"{chance.getrandbits(160):040x}", 0.8)
    sometimes("credit", chance.choice(CREDITS), 0.8)
    profile_id, profile_name = chance.choice(PROFILES)
    made["profile"] = {"id": profile_id, "name": profile_name} if chance.random() < 0.8 else {"id": profile_id}
    sometimes("tools", [tool for bit, tool in enumerate(TOOLS) if number % 16 >> bit & 1], 0.95)
    sometimes("whiteLabel", _white_label(chance), 0.4)
    sometimes("clientName", f"{last} ({chance.choice(ORGANIZATIONS)})", 0.5)
    sometimes("status", ("enabled", "enabled", "disabled")[number % 3], 0.97)
    sometimes("additionalUsers", chance.choice((0, 1, 5, 250)), 0.5)
    sometimes("tags", _tags(number, chance), 0.6)
    sometimes("phoneNumber", f"+1 514 555 {number % 10000:04d}", 0.1)  # not declared, and seen all the same
    sometimes("staff", {"firstName": first, "lastName": last, "extension": number, "remote": number % 2 == 0}, 0.05)
    members = list(made.items())
    if number % 5 == 0:  # the order of members means nothing, and upstreams prove it
        chance.shuffle(members)
    return dict(members)


def _local_part(number: int, chance: random.Random) -> str:
    plain = f"user{number}"
    return chance.choice(
        (plain, f"{plain}+news", f"First.Last.{number}", f"o'neil{number}", f"δοκιμή{number}", plain.upper())
    )


def _preferences(email: str, chance: random.Random) -> dict[str, object]:
    members: list[tuple[str, object]] = [
        ("timeZone", chance.choice(ZONES)),
        ("language", chance.choice(LANGUAGES)),
        ("displayName", email[:63] if chance.random() < 0.6 else chance.choice(PEOPLE)[0][:63]),
    ]
    return dict(chance.sample(members, chance.randrange(len(members) + 1)))


def _created(chance: random.Random) -> dict[str, object]:
    day, time = chance.randrange(1, 29), (chance.randrange(24), chance.randrange(60), chance.randrange(60))
    text = f"{chance.randrange(2012, 2027)}-{chance.randrange(1, 13):02d}-{day:02d}T{time[0]:02d}:{time[1]:02d}:{time[2]:02d}"
    zone = chance.choice((*ZONES, "Nowhere/Atlantis", None))
    return {"dateTime": text} if zone is None else {"dateTime": text, "timeZone": zone}


def _white_label(chance: random.Random) -> dict[str, object]:
    return {
        "logoURL": chance.choice(("https://cdn.example.com/logo.png", "", "https://cdn.example.com/" + "l" * 231)),
        "emailAddress": chance.choice(("hello@brand.example", "")),
        "headerBackgroundColor": chance.choice(("#ffffff", "rgb(1, 2, 3)", "")),
        "menuBackgroundColor": f"#{chance.getrandbits(24):06x}",
    }


def _tags(number: int, chance: random.Random) -> list[dict[str, object]]:
    return [
        {"id": f"{number}-{index}", "tag": text, "color": f"#{chance.getrandbits(24):06X}"}
        if chance.random() < 0.9
        else {"id": f"{number}-{index}", "tag": text}
        for index, text in enumerate(chance.sample(TAGS, chance.choice((0, 1, 1, 2, 3))))
    ]


if __name__ == "__main__":
    for each in accounts():
        sys.stdout.buffer.write(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE))
