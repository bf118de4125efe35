"""The built-in scorers and a trained model, on public data."""

import numpy as np
import pandas as pd
import pytest

from features.messages.language import detect
from features.messages.scoring import score
from features.messages.text import clean
from training.evaluation.metrics import auc
from training.learning.sentiment import cross_validate
from training.rows.message_data import read_messages


@pytest.mark.promise("messages.published-auc")
@pytest.mark.parametrize("every", [2, pytest.param(1, marks=pytest.mark.long)])
def test_english_lexicon_and_a_trained_model_on_the_airline_messages(airline, tmp_path, every):
    """Each message is judged by a model that was not trained on it; the lexicon was trained on none."""
    some = tmp_path / "messages.parquet"
    pd.read_parquet(airline)[::every].to_parquet(some)
    judged = cross_validate(read_messages(some).languages[0])
    assert judged.built_in_auc >= 0.748
    assert judged.auc >= 0.90
    assert judged.gain.low > 0.1


@pytest.mark.promise("messages.published-auc")
def test_dutch_lexicon_on_the_restaurant_sentences(restaurants):
    rows = restaurants["nl"][restaurants["nl"]["polarity"].isin(["POS", "NEG"])]
    scored = [score(text, "nl") for text in rows["text"]]
    negative, polarity = (rows["polarity"] == "NEG").to_numpy(), np.array([s.polarity for s in scored])
    assert auc(negative, -polarity) >= 0.785
    sure = np.array([s.confidence for s in scored]) >= 0.5
    right = (polarity < 0) == negative
    assert sure.mean() > 0.3
    assert right[sure].mean() > right[~sure].mean() + 0.1, "confidence says where it is right"


def test_the_language_is_told_apart(restaurants):
    for language, other in (("nl", "en"), ("en", "nl")):
        detected = [detect(clean(text)) for text in restaurants[language]["text"]]
        assert detected.count(language) >= 0.96 * len(detected)
        assert detected.count(other) <= 0.01 * len(detected)
