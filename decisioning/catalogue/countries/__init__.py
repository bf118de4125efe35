"""Rules of countries for outbound contact: the records as written in YAML, and the rules that are shipped."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Literal

from pydantic import Field

from decisioning.catalogue.actions import Medium, Text
from decisioning.catalogue.people.selling import SalesRules
from decisioning.catalogue.source import YamlNode, parse
from decisioning.spec import Id, Strict

Needs = Literal["explicit-consent", "consent-or-soft-opt-in", "no-objection"]
"""What marketing over a medium needs.

`explicit-consent`: a grant that names that very channel. `consent-or-soft-opt-in`: any grant, or a soft opt-in of the
catalogue. `no-objection`: any basis of the catalogue, until the customer objects.
"""
SHIPPED = ("eu", "nl")


class MediumRule(Strict):
    """What marketing over one medium needs, and the text of law that says so."""

    medium: Medium
    needs: Needs
    text: Text


STRICTEST: Needs = "explicit-consent"


class CountryRules(Strict):
    """The rules of one country for outbound channels. A medium that is not named needs explicit consent.

    `sales`: what it asks of sales that are made by voice.
    """

    id: Id
    media: tuple[MediumRule, ...] = Field(min_length=1)
    sales: SalesRules | None = None
    description: str = ""

    def rule_for(self, medium: Medium | None) -> MediumRule:
        """Return the country's rule for `medium`, or the strictest rule if the country has none for it."""
        rule = next((rule for rule in self.media if rule.medium == medium), None)
        return rule or MediumRule(medium="phone", needs=STRICTEST, text=f"no rule of `{self.id}` allows less")


def with_country_rules(files: Mapping[str, str]) -> dict[str, str]:
    """Return the files together with the shipped rules that they select and do not declare themselves.

    So a release contains the rules that it was made with, whatever is shipped later.
    """
    roots = [root for name, text in files.items() if "country_rules" in text and (root := parse(name, text).root)]
    selected = {str(name) for root in roots if (name := _selected(root)) is not None}
    declared = {str(item.value.get("id")) for root in roots for item in _declared(root) if isinstance(item.value, dict)}
    return {**files, **{f"shipped/country-rules-{n}.yaml": _shipped(n) for n in SHIPPED if n in selected - declared}}


def _selected(root: YamlNode) -> object:
    settings = root.items.get("settings")
    return settings.value.get("country_rules") if settings and isinstance(settings.value, dict) else None


def _declared(root: YamlNode) -> list[YamlNode]:
    section = root.items.get("country_rules")
    return list(section.items.values()) if section else []


@cache
def _shipped(name: str) -> str:
    return resources.files(__name__).joinpath(f"{name}.yaml").read_text("utf-8")
