"""The package as a pure function: how values read, how sure an intent is, and what the course of messages says."""

from typing import Any

import pytest

from decisioning.catalogue.files import load, pack
from decisioning.catalogue.release import Release
from decisioning.catalogue.wording import pretended_feeling
from decisioning.routing.package import Situation, package_of
from decisioning.routing.package_words import HELP

HANDOVER = {"handover_id": "h-1", "customer_id": "c-1", "conversation_id": "t-1", "reason": "asks for a person",
            "text": "We call you today.", "kind": "bereavement"}  # fmt: skip
FILES = {
    "a.yaml": """
settings: {locales: [nl, en]}
features:
  - {name: ends_at, dtype: timestamp}
  - {name: late, dtype: bool}
  - {name: told, dtype: bool, because: {use: said, text: {nl: "dit zo is", en: "this is so"}}}
package:
  - {id: bills, title: {nl: Rekeningen, en: Bills}, features: [ends_at, {name: late, use: never}, told]}
"""
}


def package(**more: Any) -> dict[str, Any]:
    release = Release.of(load(FILES), pack(FILES))
    facts = {"ends_at": 1_767_225_600_000_000, "late": True, "told": True}
    return package_of(Situation(release, "nl", HANDOVER, **{"facts": facts, "mood_read": True, **more}))


def test_values_read_as_words_and_say_what_may_be_done_with_them() -> None:
    (heading,) = package()["facts"]
    read = [(fact["text"], fact["use"]) for fact in heading["facts"]]
    assert read == [("2026-01-01", "act_on"), ("ja", "never"), ("ja", "aloud")]


@pytest.mark.parametrize(
    ("sentiments", "trend"), [((0.2, -0.6), "worse"), ((-0.6, 0.1), "better"), ((0.1, 0.0), "same")]
)
def test_the_course_of_messages_is_told_and_no_feeling(sentiments: tuple[float, float], trend: str) -> None:
    mood = package(messages=[{"sentiment": one, "punctuation": 1} for one in sentiments])["mood"]
    assert (mood["trend"], mood["cues"]) == (trend, ["meerdere uitroep- of vraagtekens"])
    assert package(messages=[{"sentiment": -1.0}], mood_read=False)["mood"]["shown"] is False


def test_what_was_inferred_has_no_name_but_the_approved_text() -> None:
    wants = package()["wants"]
    assert (wants["approved_text"], wants["intent"], wants["confidence"]) == ("We call you today.", None, None)
    assert "bereavement" not in str(package())


def test_no_words_that_help_claim_to_feel() -> None:
    lines = [line for words in HELP.values() for line in (*words.acknowledge, *words.way_out)]
    assert lines
    assert not [line for line in lines if pretended_feeling(line)]
