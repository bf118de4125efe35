"""Names of columns, in words: what they say about a column, in English and Dutch."""

import re
import unicodedata
from collections.abc import Collection, Iterable
from typing import Final

_PARTS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_IDS: Final = frozenset({"id", "ids", "nr", "no", "number", "nummer", "num", "code", "key", "uuid", "hash"})
_SUBJECTS: Final = frozenset(
    {"customer", "client", "user", "member", "person", "subscriber", "visitor", "patient", "cust", "consumer"}
    | {"klant", "relatie", "lid", "verzekerde", "abonnee", "persoon", "gebruiker", "klantnummer", "relatienummer"}
)
_ACCOUNTS: Final = frozenset({"account", "contract", "household", "policy", "polis", "huishouden", "polisnummer"})
_CONTACTS: Final = frozenset(
    {"impression", "contact", "offer", "message", "event", "mailing", "call", "decision", "send", "request", "gesprek"}
)
_ACTIONS: Final = frozenset(
    {"action", "offer", "campaign", "item", "product", "treatment", "arm", "segment", "creative", "banner", "variant"}
    | {"message", "actie", "aanbod", "campagne", "aanbieding", "voorstel"}
)
_OUTCOMES: Final = frozenset(
    {"click", "clicked", "clicks", "visit", "visited", "conversion", "converted", "response", "responded", "accepted"}
    | {
        "bought",
        "purchase",
        "purchased",
        "subscribed",
        "opened",
        "outcome",
        "result",
        "target",
        "label",
        "y",
        "success",
    }
    | {"renewed", "renewal", "sale", "sold", "ordered", "replied", "deposit", "accept", "reply", "convert"}
    | {
        "geklikt",
        "klik",
        "bezocht",
        "reactie",
        "geaccepteerd",
        "gekocht",
        "aankoop",
        "geopend",
        "uitkomst",
        "resultaat",
    }
    | {"succes", "verlengd", "verlenging", "verkocht", "besteld", "gereageerd"}
)
_LABELS: Final = frozenset(
    {"churn", "churned", "left", "exited", "attrition", "cancelled", "canceled", "lapsed", "defaulted", "leaver"}
    | {"opgezegd", "vertrokken", "opzegging", "overgestapt", "royement"}
)
_FILLERS: Final = frozenset({"is", "has", "did", "was", "flag", "ind", "yn", "jn", "event", "customer", "klant"})
_TIMES: Final = frozenset(
    {"date", "time", "timestamp", "ts", "at", "sent", "shown", "created", "moment", "when", "datetime", "day"}
    | {"datum", "tijd", "tijdstip", "verzonden", "getoond", "peildatum"}
)
_CHANCES: Final = frozenset({"propensity", "probability", "prob", "pscore", "kans", "p"})
_CHANNELS: Final = frozenset({"channel", "kanaal", "medium"})
_CONSENTS: Final = frozenset(
    {"consent", "optin", "optout", "opt", "permission", "gdpr", "avg", "toestemming", "newsletter", "nieuwsbrief"}
)
_AGES: Final = frozenset({"age", "leeftijd"})
_PERSONAL: Final = frozenset(
    {"name", "firstname", "lastname", "surname", "email", "phone", "mobile", "address", "street", "iban", "bsn", "ssn"}
    | {"naam", "voornaam", "achternaam", "telefoon", "telefoonnummer", "adres", "straat", "postcode", "zip", "zipcode"}
    | {"birth", "birthdate", "dob", "birthday", "geboortedatum", "geboorte", "ip", "passport", "plate", "kenteken"}
)
_PROTECTED: Final = frozenset(
    {"gender", "sex", "nationality", "marital", "geslacht", "nationaliteit", "married", "aanhef", "race"}
)
_SPECIAL: Final = frozenset(
    {
        "religion",
        "health",
        "ethnicity",
        "ethnic",
        "disability",
        "pregnant",
        "diagnosis",
        "illness",
        "union",
        "political",
    }
    | {"religie", "geloof", "gezondheid", "etniciteit", "handicap", "zwanger", "ziekte", "vakbond", "partij"}
)
_EMOTION: Final = frozenset(
    {"sentiment", "mood", "emotion", "anger", "frustration", "stemming", "emotie", "boosheid", "frustratie"}
)
_REQUEST: Final = frozenset(
    {"complaint", "complaints", "objection", "objections", "klacht", "klachten", "bezwaar", "bezwaren"}
)
_MONEY: Final = frozenset(
    {"price", "fee", "amount", "spent", "spend", "balance", "premium", "income", "charge", "cost", "revenue", "eur"}
    | {"premie", "bedrag", "prijs", "saldo", "inkomen", "kosten", "omzet", "euro"}
)
_LATER: Final = frozenset({"duration", "duur", "gespreksduur", "outcome", "result", "resultaat", "uitkomst"})
_UNITS: Final = {"years": ("age", "year", "leeftijd", "jaren", "jaar"), "months": ("months", "maanden", "month")}
RULE_WORDS: Final = frozenset(
    {"true", "false", "null", "in", "action", "history", "known", "default", "duration", "timestamp", "min", "max"}
    | {"channel", "locale", "now", "gpc", "and", "or", "not"}
)


def tokens(column: str) -> tuple[str, ...]:
    """Return the parts of a column's name, in lower case and without accents; of camel case, too."""
    plain = unicodedata.normalize("NFKD", column).encode("ascii", "ignore").decode()
    return tuple(part.lower() for part in _PARTS.findall(plain))


def feature_name(column: str, used: Collection[str]) -> str:
    """Return a name for a column's feature that is no word of the rule language, and not used."""
    name = "_".join(tokens(column))[:56].strip("_") or "column"
    name = name if name[0].isalpha() else f"x_{name}"
    name = f"{name}_value" if name in RULE_WORDS else name
    return name if name not in used else next(n for i in range(2, 10_000) if (n := f"{name}_{i}") not in used)


def slug(text: str, prefix: str) -> str:
    """Return a text of a file as an id: of `prefix` and its number if it begins with a digit."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    name = "-".join(re.findall(r"[a-z]+|[0-9]+", plain))[:50].strip("-")
    return name if name[:1].isalpha() else f"{prefix}-{name}".strip("-")


def is_subject(column: str) -> bool:
    """Tell whether a column is named like the id of a customer."""
    parts = tokens(column)
    whole = "".join(parts)
    if whole in _SUBJECTS or whole in ("id", "uuid", "cookie", "cookieid"):
        return True
    return len(parts) > 1 and parts[0] in _SUBJECTS and all(part in _IDS for part in parts[1:])


def is_account(column: str) -> bool:
    """Tell whether a column is named like the id of a contract or household."""
    return _ids_of(column, _ACCOUNTS)


def is_contact_id(column: str) -> bool:
    """Tell whether a column is named like the id of a contact."""
    return _ids_of(column, _CONTACTS)


def _ids_of(column: str, nouns: frozenset[str]) -> bool:
    parts = tokens(column)
    if len(parts) == 1:
        return parts[0] in nouns and parts[0].endswith("nummer")
    return len(parts) > 1 and parts[0] in nouns and all(part in _IDS for part in parts[1:])


def is_action(column: str) -> bool:
    """Tell whether a column is named like what was offered."""
    parts = tokens(column)
    return bool(parts) and parts[0] in _ACTIONS and all(part in _IDS | {"name", "naam"} for part in parts[1:])


def is_outcome(column: str) -> bool:
    """Tell whether a column is named like what a customer did after a contact."""
    return _all_of(column, _OUTCOMES)


def is_label(column: str) -> bool:
    """Tell whether a column is named like something that happens by itself, such as leaving."""
    return _all_of(column, _LABELS)


def _all_of(column: str, words: frozenset[str]) -> bool:
    parts = [part for part in tokens(column) if part not in _FILLERS]
    return bool(parts) and all(part in words for part in parts)


def is_time(column: str) -> bool:
    """Tell whether a column is named like the time of a row."""
    return any(part in _TIMES for part in tokens(column)) and not is_personal(column)


def is_chance(column: str) -> bool:
    """Tell whether a column is named like the probability with which something was chosen."""
    return _all_of(column, _CHANCES | {"score"}) and bool(_CHANCES.intersection(tokens(column)))


def is_channel(column: str) -> bool:
    """Tell whether a column is named like the channel of a contact."""
    return _all_of(column, _CHANNELS)


def is_consent(column: str) -> bool:
    """Tell whether a column may hold a consent."""
    parts = tokens(column)
    return bool(_CONSENTS.intersection(parts)) or "".join(parts) in ("optin", "optout")


def is_age(column: str) -> bool:
    """Tell whether a column is named like an age."""
    return _all_of(column, _AGES)


def is_personal(column: str) -> bool:
    """Tell whether a column is named like something that identifies or locates a person."""
    return bool(_PERSONAL.intersection(tokens(column)))


def tag(column: str) -> str | None:
    """Return the tag of a feature that a column's name asks for."""
    parts = frozenset(tokens(column))
    by_tag = {"emotion": _EMOTION, "request": _REQUEST, "special-category": _SPECIAL, "protected": _PROTECTED}
    return next((tagged for tagged, words in by_tag.items() if parts & words), None)


def comes_later(column: str) -> bool:
    """Tell whether a column is named like something that is known only after a contact."""
    return bool(_LATER.intersection(tokens(column)))


def unit(column: str) -> str | None:
    """Return the unit that a column's name says: EUR, years, months or days."""
    parts = [part.removesuffix("s") if part.removesuffix("s") in _MONEY else part for part in tokens(column)]
    if any(part in _MONEY for part in parts):
        return "EUR"
    named = (name for name, words in _UNITS.items() if any(part in words for part in parts))
    return next(named, "days" if {"days", "dagen"}.intersection(parts) else None)


def channel_words(texts: Iterable[str]) -> frozenset[str]:
    """Return all parts of names, to tell a channel from."""
    return frozenset(part for text in texts for part in tokens(text))
