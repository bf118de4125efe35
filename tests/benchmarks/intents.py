"""How well intents are named: `python -m tests.benchmarks.intents [development|final]`.

The model of the demo's ten intents beside plain TF-IDF with logistic regression of the same examples, which says
unknown below the confidence that nine of ten held-out examples reach. Both are judged by phrasings written before there
was a model; by default by those of both halves.
"""

import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline

from decisioning.catalogue.files import load
from decisioning.catalogue.intents import Intent
from features.messages.hearing.model import built_in
from features.messages.intents.fitting import intent_model
from features.messages.scoring import MessageModels, score
from features.messages.text import clean
from tests.features.messages.intents import UNKNOWN, IntentPhrasing, phrasings
from training.simulator.telecom import catalogue_files

Judge = Callable[[str], tuple[str, float]]
SURE = 0.7
_BINS = 10
_LEFT_OUT = 0.1


def demo_intents() -> tuple[Intent, ...]:
    """Return the intents of the demo's catalogue."""
    return load(catalogue_files()).intents


def named_by_model(intents: Sequence[Intent]) -> Judge:
    """Return what names the intent of a text by the product's model."""
    model = intent_model(intents)
    assert model is not None
    return lambda text: model.name(clean(text))


def named_by_regression(intents: Sequence[Intent]) -> Judge:
    """Return what names the intent of a text by TF-IDF of words and pairs with logistic regression."""
    texts = [text for intent in intents for examples in intent.examples.values() for text in examples]
    labels = [intent.id for intent in intents for examples in intent.examples.values() for _ in examples]
    peer = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10.0, max_iter=1_000)
    )
    held_out = cross_val_predict(peer, texts, labels, cv=5, method="predict_proba").max(1)
    limit = np.quantile(held_out, _LEFT_OUT)
    peer.fit(texts, labels)

    def judge(text: str) -> tuple[str, float]:
        probabilities = peer.predict_proba([text])[0]
        best = float(probabilities.max())
        return (str(peer.classes_[probabilities.argmax()]), best) if best >= limit else (UNKNOWN, 1.0 - best)

    return judge


def figures(judge: Judge, judged: Sequence[IntentPhrasing]) -> dict[str, float]:
    """Return how well a judge does on some phrasings.

    `accuracy`: of those with an intent. `named`: the share of them that is not unknown. `unknown`: the share of those
    without an intent that is unknown. `precision`: of all that are named; `precision_sure`: of those named with at
    least `SURE`, which are `sure` of those with an intent. `ece`: the expected calibration error over all.
    """
    results = [judge(p.text) for p in judged]
    right = np.array([name == p.intent for (name, _), p in zip(results, judged, strict=True)])
    confidence = np.array([sure for _, sure in results])
    has_one = np.array([p.intent != UNKNOWN for p in judged])
    named = np.array([name != UNKNOWN for name, _ in results])
    sure = named & (confidence >= SURE)
    return {
        "accuracy": float(right[has_one].mean()),
        "named": float(named[has_one].mean()),
        "unknown": float(right[~has_one].mean()),
        "precision": float(right[named].mean()),
        "precision_sure": float(right[sure].mean()),
        "sure": float(sure[has_one].mean()),
        "ece": calibration_error(right, confidence),
    }


def calibration_error(right: NDArray[np.bool_], confidence: NDArray[np.float64]) -> float:
    """Return the mean difference between confidence and share of right ones over ten bins of confidence."""
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = [abs(right[bins == b].mean() - confidence[bins == b].mean()) * (bins == b).mean() for b in set(bins)]
    return float(sum(gaps))


def cost_ms(intents: Sequence[Intent], judged: Sequence[IntentPhrasing]) -> tuple[float, float]:
    """Return the processor time of scoring a message with hearing, without and with naming its intent, in ms."""
    model, hearing = intent_model(intents), built_in()
    costs = []
    for naming in (None, model):
        models = MessageModels(hearing=hearing, intents=naming)
        score("Waar is mijn pakket?", models=models)
        start = time.process_time()
        for phrasing in judged:
            score(phrasing.text, models=models)
        costs.append((time.process_time() - start) * 1e3 / len(judged))
    return costs[0], costs[1]


def main(halves: Sequence[str]) -> None:
    """Print the figures of both judges, by language."""
    intents = demo_intents()
    start = time.process_time()
    model = named_by_model(intents)
    fitted_s = time.process_time() - start
    judges = {"this model": model, "TF-IDF and logistic regression": named_by_regression(intents)}
    table = Table(title=f"Intents of {' and '.join(halves)} phrasings")
    judged = [p for p in phrasings() if p.half in halves]
    for name, judge in judges.items():
        for language in ("nl", "en"):
            found = figures(judge, [p for p in judged if p.language == language])
            if not table.columns:
                for column in ("judge", "language", *found):
                    table.add_column(column)
            table.add_row(name, language, *(f"{value:.3f}" for value in found.values()))
    without, with_intents = cost_ms(intents, judged)
    console = Console(width=140)
    console.print(table)
    console.print(f"fitting: {fitted_s:.2f} s of processor time")
    console.print(f"a message: {without:.2f} ms with hearing, {with_intents:.2f} ms with its intent")


if __name__ == "__main__":
    main(sys.argv[1:] or ("development", "final"))
