"""Who works in the sample contact centre and what is kept there: invented, every one of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True, slots=True)
class SampleController:
    """A company of the group."""

    slug: str
    name: str


@dataclass(frozen=True, slots=True)
class SampleTeam:
    """A team, and who in it talks with customers: login and name."""

    slug: str
    name: str
    employer: str
    agents: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SampleQueue:
    """A line that customers come in by."""

    slug: str
    name: str
    controller: str
    holds_health_data: bool = False


@dataclass(frozen=True, slots=True)
class SampleSource:
    """A phone or chat system of a company."""

    slug: str
    name: str
    controller: str


@dataclass(frozen=True, slots=True)
class SamplePurpose:
    """What a conversation may be used for, in three languages."""

    code: str
    name_fi: str
    name_sv: str
    name_en: str


@dataclass(frozen=True, slots=True)
class SampleRule:
    """How long a company keeps what for which purpose; no queues means all of the company."""

    controller: str
    purpose: str
    name: str
    legal_basis: str
    keep_months: int = 0
    keep_days: int = 0
    queues: tuple[str, ...] = ()
    article_9_condition: str = ""


@dataclass(frozen=True, slots=True)
class SampleLimit:
    """The shortest and the longest that a purpose allows at a company."""

    controller: str
    purpose: str
    source: str
    floor_months: int | None = None
    ceiling_months: int | None = None


@dataclass(frozen=True, slots=True)
class SampleUser:
    """Somebody who signs in; `hears` are teams and purposes, no controller means all of them."""

    email: str
    full_name: str
    language: str
    role: str
    employer: str
    controller: str | None = None
    hears: tuple[tuple[str, str], ...] = field(default=())
    login: str | None = None


LIFE = "esimerkki-henkivakuutus"
ASSETS = "esimerkki-varainhoito"
SERVICES = "esimerkki-palvelut"

CONTROLLERS = (
    SampleController(LIFE, "Esimerkki Henkivakuutus Oy"),
    SampleController(ASSETS, "Esimerkki Varainhoito Oy"),
    SampleController(SERVICES, "Esimerkki Palvelut Oy"),
)

TEAMS = (
    SampleTeam(
        "asiakaspalvelu",
        "Asiakaspalvelu",
        LIFE,
        (
            ("aino.mallikas", "Aino Mallikas"),
            ("eero.mallikoivu", "Eero Mallikoivu"),
            ("helmi.naytela", "Helmi Näytelä"),
        ),
    ),
    SampleTeam(
        "korvaukset",
        "Korvauspalvelu",
        LIFE,
        (
            ("jaakko.koemaki", "Jaakko Koemäki"),
            ("kerttu.mallila", "Kerttu Mallila"),
            ("lauri.testila", "Lauri Testilä"),
        ),
    ),
    SampleTeam(
        "myynti",
        "Vakuutusmyynti",
        LIFE,
        (
            ("minna.kokeela", "Minna Kokeela"),
            ("niilo.naytto", "Niilo Näyttö"),
            ("oona.mallinen", "Oona Mallinen"),
        ),
    ),
    SampleTeam(
        "sijoitusneuvonta",
        "Sijoitusneuvonta",
        ASSETS,
        (
            ("pekka.esimaa", "Pekka Esimaa"),
            ("riikka.kokeva", "Riikka Kokeva"),
            ("sampo.koekangas", "Sampo Koekangas"),
        ),
    ),
    SampleTeam(
        "toimeksiannot",
        "Toimeksiannot",
        ASSETS,
        (
            ("tuuli.mallimaki", "Tuuli Mallimäki"),
            ("urho.testaaja", "Urho Testaaja"),
            ("venla.esimerkkila", "Venla Esimerkkilä"),
        ),
    ),
    SampleTeam(
        "svensk-kundtjanst",
        "Svensk kundtjänst",
        SERVICES,
        (
            ("ylva.exempel", "Ylva Exempelström"),
            ("ake.provberg", "Åke Provberg"),
            ("maja.mall", "Maja Mallström"),
        ),
    ),
)

QUEUES = (
    SampleQueue("henki-palvelu", "Henkivakuutuksen asiakaspalvelu", LIFE),
    SampleQueue("henki-korvaukset", "Henkivakuutuksen korvaukset", LIFE, holds_health_data=True),
    SampleQueue("henki-myynti", "Henkivakuutuksen myynti", LIFE),
    SampleQueue("sijoitus-neuvonta", "Sijoitusneuvonta", ASSETS),
    SampleQueue("sijoitus-toimeksiannot", "Sijoitusten toimeksiannot", ASSETS),
    SampleQueue("svensk-service", "Svensk service", SERVICES),
    SampleQueue("kokeilu", "Kokeilu: ajanvaraus", SERVICES),
    SampleQueue("demo", "Demo: säilytetään kaksi viikkoa", SERVICES),
)

SOURCES = (
    SampleSource("henki-pbx", "Henkivakuutuksen puhelinvaihde", LIFE),
    SampleSource("henki-chat", "Henkivakuutuksen chat", LIFE),
    SampleSource("varainhoito-pbx", "Varainhoidon puhelinvaihde", ASSETS),
    SampleSource("varainhoito-chat", "Varainhoidon chat", ASSETS),
    SampleSource("palvelut-pbx", "Palvelujen puhelinvaihde", SERVICES),
    SampleSource("palvelut-chat", "Palvelujen chat", SERVICES),
)

PURPOSES = (
    SamplePurpose("coaching", "Valmennus", "Coachning", "Coaching"),
    SamplePurpose("training", "Koulutuskirjasto", "Utbildningsbibliotek", "Training library"),
    SamplePurpose("claims", "Korvauskäsittely", "Skadebehandling", "Claims handling"),
    SamplePurpose(
        "evidence", "Toimeksiannon todistaminen", "Bevis på uppdrag", "Evidence of an order"
    ),
    SamplePurpose("matter", "Asian selvittäminen", "Utredning av ärende", "Handling of a matter"),
)

_HEALTH = "Tietosuojalaki 1050/2018, 6 § 1 mom. 1 kohta"

# Claims calls hold health data and coaching has no Art. 9 condition for it: coaches hear none.
RULES = (
    SampleRule(LIFE, "coaching", "Valmennus kuusi kuukautta", "6.1.f", keep_months=6),
    SampleRule(
        LIFE,
        "training",
        "Koulutus kaksi vuotta, asiakaspalvelu",
        "6.1.f",
        keep_months=24,
        queues=("henki-palvelu",),
    ),
    SampleRule(
        LIFE,
        "claims",
        "Korvausasiat viisi vuotta",
        "6.1.b",
        keep_months=60,
        queues=("henki-korvaukset",),
        article_9_condition=_HEALTH,
    ),
    SampleRule(ASSETS, "coaching", "Valmennus kuusi kuukautta", "6.1.f", keep_months=6),
    SampleRule(
        ASSETS,
        "evidence",
        "Sijoituspalvelut viisi vuotta",
        "6.1.c",
        keep_months=60,
        queues=("sijoitus-neuvonta", "sijoitus-toimeksiannot"),
    ),
    SampleRule(
        SERVICES,
        "coaching",
        "Valmennus kuusi kuukautta",
        "6.1.f",
        keep_months=6,
        queues=("svensk-service",),
    ),
    SampleRule(
        SERVICES,
        "training",
        "Koulutus kaksi vuotta",
        "6.1.f",
        keep_months=24,
        queues=("svensk-service",),
    ),
    SampleRule(
        SERVICES, "coaching", "Demo: neljätoista päivää", "6.1.f", keep_days=14, queues=("demo",)
    ),
)

LIMITS = (
    SampleLimit(
        ASSETS,
        "evidence",
        "Sijoituspalvelulaki 747/2012, 10 luku",
        floor_months=60,
        ceiling_months=84,
    ),
    SampleLimit(LIFE, "coaching", "Konsernin linjaus 2026", ceiling_months=12),
    SampleLimit(ASSETS, "coaching", "Konsernin linjaus 2026", ceiling_months=12),
    SampleLimit(SERVICES, "coaching", "Konsernin linjaus 2026", ceiling_months=12),
)

_COACHED = ("coaching", "training")

USERS = (
    SampleUser(
        "coach@tallenne.example",
        "Kaisa Valmentaja",
        "fi",
        "coach",
        LIFE,
        None,
        tuple(
            (team, purpose)
            for team in ("asiakaspalvelu", "myynti", "korvaukset")
            for purpose in _COACHED
        ),
    ),
    SampleUser(
        "coach.sv@tallenne.example",
        "Birgitta Handledare",
        "sv",
        "coach",
        SERVICES,
        None,
        tuple(
            (team, purpose)
            for team in ("svensk-kundtjanst", "sijoitusneuvonta")
            for purpose in _COACHED
        ),
    ),
    SampleUser(
        "lead@tallenne.example",
        "Lasse Vetäjä",
        "fi",
        "lead",
        LIFE,
        LIFE,
        (("myynti", "coaching"),),
    ),
    SampleUser(
        "employee@tallenne.example",
        "Aino Mallikas",
        "fi",
        "employee",
        LIFE,
        LIFE,
        login="aino.mallikas",
    ),
    SampleUser(
        "compliance@tallenne.example", "Saana Säädöstä", "fi", "compliance_officer", SERVICES
    ),
    SampleUser(
        "compliance2@tallenne.example", "Toini Toinen", "sv", "compliance_officer", SERVICES
    ),
    SampleUser("case@tallenne.example", "Aatos Asianhoitaja", "fi", "case_handler", LIFE),
    SampleUser("requests@tallenne.example", "Pirkko Pyyntölä", "fi", "request_handler", SERVICES),
    SampleUser(
        "dpo@tallenne.example", "Tiina Tietosuoja", "fi", "data_protection_officer", SERVICES
    ),
    SampleUser("admin@tallenne.example", "Ylermi Ylläpito", "en", "administrator", SERVICES),
    SampleUser("auditor@tallenne.example", "Revisor Granskare", "sv", "auditor", SERVICES),
)
OPERATOR_EMAIL = "operator@tallenne.example"
OPERATOR_NAME = "Otto Operaattori"

UNDERTAKING = {
    "fi": (
        "Sitoudun pitämään salassa kaiken, mitä kuulen tai luen tallenteista. Kuuntelen ja luen"
        " niitä vain siinä tarkoituksessa, johon minulle on annettu pääsy, enkä tallenna, kopioi"
        " tai kerro sisältöä eteenpäin. Velvollisuus jatkuu työsuhteeni päätyttyä. Tiedän, että"
        " jokaisesta kuuntelusta ja lukemisesta jää merkintä käyttölokiin."
    ),
    "sv": (
        "Jag förbinder mig att hålla hemligt allt som jag hör eller läser i inspelningarna. Jag"
        " lyssnar på och läser dem endast för det ändamål som jag har fått åtkomst för, och"
        " jag varken sparar, kopierar eller för vidare innehållet. Plikten fortsätter när min"
        " anställning upphör. Jag vet att varje lyssning och läsning antecknas i"
        " användningsloggen."
    ),
    "en": (
        "I undertake to keep secret everything that I hear or read in the conversations. I listen"
        " to them and read them only for the purpose for which I have been given access, and I"
        " neither store, copy nor pass on what they say. The duty continues after my employment"
        " ends. I know that every time I listen or read, it is entered in the audit log."
    ),
}

# Customers by language: name, telephone number, customer number.
CUSTOMERS = {
    "fi": (
        ("Outi Olematon", "+358 9 0000 1001", "100017"),
        ("Veikko Keksitty", "+358 9 0000 1002", "100025"),
        ("Sirkka Satunen", "+358 9 0000 1003", "100033"),
        ("Ahti Kuvitteellinen", "+358 9 0000 1004", "100041"),
        ("Päivi Tarinala", "+358 9 0000 1005", "100058"),
        ("Rauno Sepitelmä", "+358 9 0000 1006", "100066"),
        ("Äiti Öhmanen", "+358 9 0000 1007", "100074"),
        ("Kyösti Leikkilä", "+358 9 0000 1008", "100082"),
    ),
    "sv": (
        ("Gunilla Påhittad", "+358 9 0000 2001", "200015"),
        ("Torsten Sagolin", "+358 9 0000 2002", "200023"),
        ("Åsa Fantasén", "+358 9 0000 2003", "200031"),
        ("Göran Diktman", "+358 9 0000 2004", "200049"),
        ("Solveig Ingenstans", "+358 9 0000 2005", "200056"),
    ),
    "en": (
        ("Zoë Fictional-Brown", "+358 9 0000 3001", "300013"),
        ("Arthur Makebelieve", "+358 9 0000 3002", "300021"),
        ("Priya Inventedsson", "+358 9 0000 3003", "300039"),
        ("Tom O'Nowhere", "+358 9 0000 3004", "300047"),
        ("Grace Storybook", "+358 9 0000 3005", "300054"),
    ),
}

# What the privacy notice of each company states, in months: what its rules give, or may one day.
NOTICE = "2026-01"
NOTICE_FROM = date(2024, 1, 1)
NOTICED_MONTHS = {"coaching": 6, "training": 24, "claims": 60, "evidence": 84}
