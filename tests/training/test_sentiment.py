"""A model of a company's own messages: what is read, what is refused, and what the trained model returns."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from decisioning.errors import Refused
from features.messages.scoring import MessageModels, score
from features.messages.trained import SentimentModel, terms
from tests.examples import examples
from training.fitting.intervals import ConfidenceInterval
from training.learning.sentiment import cross_validate, fit
from training.rows.message_data import LabelledMessages, read_messages

WON = ConfidenceInterval(0.2, 0.1, 0.3)
JARGON = {"negative": "the zorp is flimmed again", "neutral": "which zorp is it", "positive": "the zorp runs quavely"}


def messages(n: int = 240, seed: int = 0, language: str = "en", *, informative: bool = True) -> pd.DataFrame:
    """Return messages in jargon that no lexicon has. `informative`: whether the words determine the label."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(list(JARGON), n)
    kinds = labels if informative else rng.permutation(labels)
    texts = [
        f"{JARGON[kind]} {' '.join(rng.choice(['at', 'home', 'now', 'here'], 3))} w{i}" for i, kind in enumerate(kinds)
    ]
    return pd.DataFrame({"text": texts, "label": labels, "language": language})


def written(folder: Path, frame: pd.DataFrame, kind: str = "csv") -> Path:
    file = folder / f"messages.{kind}"
    if kind == "csv":
        frame.to_csv(file, index=False)
    elif kind == "parquet":
        frame.to_parquet(file)
    else:
        file.write_text("\n".join(json.dumps(row) for row in frame.to_dict("records")) + "\n\n")
    return file


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> LabelledMessages:
    return read_messages(written(tmp_path_factory.mktemp("labelled"), messages())).languages[0]


@pytest.fixture(scope="module")
def model(labelled: LabelledMessages) -> SentimentModel:
    return fit(labelled, WON)


def test_the_same_messages_in_three_formats(tmp_path):
    frame = pd.concat([messages(), messages(200, 1, "nl")])
    read_files = [read_messages(written(tmp_path, frame, kind)) for kind in ("csv", "parquet", "jsonl")]
    assert len({tuple(part.digest() for part in file_content.languages) for file_content in read_files}) == 1
    assert [(part.language, len(part)) for part in read_files[0].languages] == [("en", 240), ("nl", 200)]


def test_without_a_column_the_language_is_the_one_that_most_are_in(tmp_path):
    frame = messages().drop(columns="language")
    assert read_messages(written(tmp_path, frame)).languages[0].language == "en"
    frame["text"] = [
        f"ik heb het niet en dat wil ik ook nog wel {t}" if i % 2 else t for i, t in enumerate(frame["text"])
    ]
    with pytest.raises(Refused, match="add a column `language`"):
        read_messages(written(tmp_path, frame))


def test_what_says_nothing_new_is_left_out(tmp_path):
    frame = messages()
    more = pd.DataFrame({"text": [frame["text"][0], "", None], "label": ["positive", "negative", "negative"]})
    more.loc[3] = ["no label", None, "en"] if "language" in more else ["no label", None]
    messages_read = read_messages(written(tmp_path, pd.concat([frame, more.assign(language="en")])))
    assert (messages_read.rows, messages_read.left_out) == (244, 4)
    assert messages_read.languages[0].digest() == read_messages(written(tmp_path, frame)).languages[0].digest()


@pytest.mark.promise("messages.labelled-errors")
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.csv", "text,mood\nhi,negative\n", "no column `label`.*`mood`, `text`"),
        ("m.csv", "", "m.csv is empty"),
        ("m.csv", "text,label\nhi,negative\nho,Jansen\n", "row 3, column label: must be one of negative, neutral, pos"),
        ("m.csv", "text,label,language\nhi,negative,fr\n", "row 2, column language: must be one of nl, en"),
        ("m.csv", "text,label\nhi,there,negative\n", "row 2, column .*3 cells, the header has 2"),
        ("m.csv", "text,label\nthe bill is not mine,negative\n", "too little to learn from: 1 different"),
        ("m.csv", "text,label\n,negative\n", "no message with a label"),
        (
            "m.jsonl",
            '{"text": 2, "label": "negative"}\n{"text": 3, "label": "negative"}',
            "rows 1 and 2, column text: 2 cells: must be a",
        ),
        ("m.jsonl", '{"text": "hi"}', "no column `label`"),
        ("m.jsonl", '{"text": "Jansen', "first line is not a JSON object"),
        ("m.jsonl", '{"text": "a", "label": "x", "label": "y"}', "has a key twice"),
        ("m.jsonl", "[" * 100_000, "is not JSON: write one object on each line"),
        ("m.parquet", "Jansen", "not a Parquet file"),
    ],
)
def test_what_is_wrong_is_named_and_not_repeated(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(Refused, match=message) as refused:
        read_messages(tmp_path / name)
    assert "Jansen" not in str(refused.value)


def test_it_serves_what_scikit_learn_fitted(labelled, model):
    """Compare the model that serves, in numpy with exact sums, with the library's own pipeline."""
    vectorizer = TfidfVectorizer(analyzer=terms, sublinear_tf=True, min_df=3)
    x = vectorizer.fit_transform(labelled.texts)
    expected = LogisticRegression(C=2.0, max_iter=1_000).fit(x, labelled.codes).predict_proba(x)
    probabilities = [list(model.probabilities(text).values()) for text in labelled.texts]
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)


def test_its_bytes_are_the_model(labelled, model):
    again = SentimentModel.from_files(model.files())
    assert again.files() == model.files() == fit(labelled, WON).files()
    assert again.judge("the zorp") == model.judge("the zorp")


@pytest.mark.promise("messages.model-must-win")
def test_it_wins_where_it_ranks_better_than_the_lexicon(labelled, tmp_path):
    metrics = cross_validate(labelled)
    assert metrics.auc > 0.95
    assert metrics.gain.low > 0
    assert metrics.gain.value == pytest.approx(metrics.auc - metrics.built_in_auc)
    random = cross_validate(read_messages(written(tmp_path, messages(informative=False))).languages[0])
    assert random.gain.low < 0
    assert random.auc < 0.65, "judged on messages it had not seen"


def test_two_classes_will_do(tmp_path):
    frame = messages()
    two_class_model = fit(read_messages(written(tmp_path, frame[frame["label"] != "neutral"])).languages[0], WON)
    assert two_class_model.classes == ("negative", "positive")
    assert (
        two_class_model.judge(JARGON["negative"]).polarity
        < -0.5
        < 0.5
        < two_class_model.judge(JARGON["positive"]).polarity
    )


def test_what_names_somebody_is_no_term(tmp_path):
    frame = messages()
    frame["text"] += " ask @jansen, jan@jansen.nl, 0612345678 or https://jansen.nl"
    vocabulary = " ".join(fit(read_messages(written(tmp_path, frame)).languages[0], WON).vocabulary)
    assert "jansen" not in vocabulary
    assert not any(c.isdigit() for c in vocabulary)


@pytest.mark.promise("messages.any-text")
@given(st.text(st.characters(categories=None), max_size=200) | st.text("zorp ist!😡\u202e\0\ud800", max_size=300))
@settings(max_examples=examples(50))
def test_any_text_has_a_score(model, text):
    scored = score(text, "en", models=MessageModels(trained={"en": model}))
    assert -1 <= scored.polarity <= 1
    assert 0 <= scored.negative <= 1
    assert 0 < scored.confidence <= 1
    assert sum(model.probabilities(text).values()) == pytest.approx(1)
