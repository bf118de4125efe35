"""Whose rules hold for going to people: records as written in YAML, and those that are shipped."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Literal

from pydantic import Field

from decisioning.catalogue.actions import Medium, Text
from decisioning.catalogue.source import YamlNode, parse
from decisioning.spec import Id, Strict

Needs = Literal["explicit-consent", "consent-or-soft-opt-in", "no-objection"]
"""What selling over a medium needs: a grant that names that very channel; any grant, or a soft opt-in of the catalogue;
or any basis of the catalogue, until the customer objects."""
SHIPPED = ("eu", "nl")


class MediumRule(Strict):
    """What marketing over one medium needs, and where that is written."""

    medium: Medium
    needs: Needs
    text: Text


STRICTEST: Needs = "explicit-consent"


class CountryRules(Strict):
    """Rules of one country for outbound channels; a medium that is not named needs explicit consent."""

    id: Id
    media: tuple[MediumRule, ...] = Field(min_length=1)
    description: str = ""

    def rule_for(self, medium: Medium | None) -> MediumRule:
        """The rule for a medium; the strictest where there is none."""
        found = next((rule for rule in self.media if rule.medium == medium), None)
        return found or MediumRule(medium="phone", needs=STRICTEST, text=f"no rule of `{self.id}` allows less")


def with_country_rules(files: Mapping[str, str]) -> dict[str, str]:
    """The files, and the shipped rules that they choose without declaring any of that name.

    A release holds them so: what is shipped later changes nothing about it.
    """
    roots = [root for name, text in files.items() if "country_rules" in text and (root := parse(name, text).root)]
    chosen = {str(name) for root in roots if (name := _chosen(root)) is not None}
    declared = {str(item.value.get("id")) for root in roots for item in _declared(root) if isinstance(item.value, dict)}
    return {**files, **{f"shipped/country-rules-{n}.yaml": _shipped(n) for n in SHIPPED if n in chosen - declared}}


def _chosen(root: YamlNode) -> object:
    settings = root.items.get("settings")
    return settings.value.get("country_rules") if settings and isinstance(settings.value, dict) else None


def _declared(root: YamlNode) -> list[YamlNode]:
    section = root.items.get("country_rules")
    return list(section.items.values()) if section else []


@cache
def _shipped(name: str) -> str:
    return resources.files(__name__).joinpath(f"{name}.yaml").read_text("utf-8")
