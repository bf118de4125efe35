"""Sentences of reports say the same in every language: each text has the same values, in the same form."""

from pathlib import Path
from string import Formatter

import pytest
from yaml import safe_load

from training.evaluation.localized import fields, joined, local_text, localized

FILES = [Path("training/evaluation/words.yaml"), Path("serving/pages/report/words.yaml")]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_every_text_has_the_same_values_in_every_language(file: Path) -> None:
    for name, texts in safe_load(file.read_text(encoding="utf-8")).items():
        used = {
            lang: sorted({part[1:3] for part in Formatter().parse(text) if part[1]}) for lang, text in texts.items()
        }
        assert used["en"] == used["nl"], name
        assert texts["en"].count("**") == texts["nl"].count("**"), name


def test_numbers_have_the_marks_of_the_language_and_parts_are_in_it() -> None:
    rise = localized(
        "rise",
        customers=localized("customers", n=1200),
        what=localized("rise-complaint", name="a"),
        usual=localized("usual", n=1.5),
    )
    assert fields("said", rise) == {
        "said": "1200 customers complained of `a` in the last hour; usual at this time are 1.5.",
        "said_nl": "1200 klanten klaagden over `a` in het laatste uur; gewoon zijn er rond deze tijd 1,5.",
    }
    counted = localized("arms-of-accounts", n=12_345)
    both = joined([counted, localized("arms-moved", n=2)])
    assert both["nl"] == " in 12.345 accounts Voor 2 is later in een andere groep besloten; zij blijven in hun eerste."
    assert local_text(fields("x", rise), "x") == rise
