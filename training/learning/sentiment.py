"""`brain train sentiment`: a model of a company's own messages, which serves if it beats the built-in scorer."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from decisioning.errors import Refused
from features.decisions.log import Progress
from features.messages.scoring import score
from features.messages.trained import NEGATIVE, SentimentModel, terms
from training.evaluation.comparison import auc_gain
from training.evaluation.metrics import auc, calibration_table, log_loss
from training.fitting.folds import stratified_folds
from training.fitting.intervals import ConfidenceInterval
from training.learning.context import LearningContext
from training.learning.promotion import promote
from training.model.frame import Floats, Ints
from training.registry import sentiment_name
from training.reporting.registration import Result
from training.rows.message_data import LabelledMessages, MessageFile
from training.tracking import Provenance

MIN_MESSAGES = 3
"""The messages that a term has to occur in. Rarer terms teach little, and may reveal one customer."""
_FOLDS = 5
_INVERSE_PENALTY = 2.0
_ITERATIONS = 1_000
_NEVER = -30.0
"""An intercept that leaves a class next to no probability."""
_NO_GAIN = ConfidenceInterval(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class MessageMetrics:
    """What was reached on messages that the judging model had not seen.

    `negative` (n,) are the predicted probabilities of a negative message, `accuracy` is that of the likeliest class.
    `gain` is the AUC for negative messages minus that of the built-in scorer.
    """

    negative: Floats
    accuracy: float
    auc: float
    built_in_auc: float
    log_loss: float
    gain: ConfidenceInterval

    def figures(self) -> dict[str, float]:
        """Return the metrics of a registered run."""
        return {
            "auc": self.auc,
            "built_in_auc": self.built_in_auc,
            "gain": self.gain.value,
            "gain_low": self.gain.low,
            "gain_high": self.gain.high,
            "log_loss": self.log_loss,
            "accuracy": self.accuracy,
        }


def fit(data: LabelledMessages, gain: ConfidenceInterval) -> SentimentModel:
    """Fit TF-IDF of words and pairs with multinomial logistic regression.

    :param gain: the gain in AUC that the model states, from `cross_validate`
    :raises Refused: no term occurs often enough
    """
    return _fit([terms(text) for text in data.texts], data, np.arange(len(data)), gain)


def cross_validate(data: LabelledMessages, seed: int = 0, on_fold: Callable[[], None] | None = None) -> MessageMetrics:
    """Judge each fifth of the messages by a model of the others, and compare it with the language's built-in scorer.

    :param on_fold: called after each of the five folds
    """
    documents = [terms(text) for text in data.texts]
    fold = stratified_folds(data.negative, _FOLDS, seed)
    predicted, built_in = np.zeros((len(data), len(data.classes))), np.zeros(len(data))
    for k in range(_FOLDS):
        model = _fit(documents, data, np.flatnonzero(fold != k), _NO_GAIN)
        for row in np.flatnonzero(fold == k):
            predicted[row] = list(model.probabilities(data.texts[row]).values())
            built_in[row] = -score(data.texts[row], data.language).polarity
        if on_fold:
            on_fold()
    negative = predicted[:, data.classes.index(NEGATIVE)]
    return MessageMetrics(
        negative=negative,
        accuracy=float((predicted.argmax(1) == data.codes).mean()),
        auc=auc(data.negative, negative),
        built_in_auc=auc(data.negative, built_in),
        log_loss=log_loss(data.negative, np.clip(negative, 1e-12, 1.0 - 1e-12)),
        gain=auc_gain(data.negative, negative, built_in),
    )


def train(context: LearningContext, data: MessageFile, now_us: int, progress: Progress | None = None) -> Result:
    """Train per language a new version of `sentiment-<language>`.

    It becomes the challenger, and the champion if it wins: if the 95% interval of its gain in AUC over the built-in
    scorer, on messages it had not seen, lies above zero. The registered model learns from all messages.
    """
    steps = iter(range(1, len(data.languages) * (_FOLDS + 1) + 1))

    def on_step() -> None:
        if progress:
            progress(next(steps), len(data.languages) * (_FOLDS + 1), "training on messages")

    models = [_train(context, part, now_us, on_step) for part in data.languages]
    counts = {"rows": data.rows, "left_out": data.left_out, "read": data.read}
    corrected = {"corrected": data.corrected, "only_counted": data.only_counted}
    return {"release": context.release.hash, **counts, **corrected, "models": models}


def _train(context: LearningContext, data: LabelledMessages, now_us: int, on_step: Callable[[], None]) -> Result:
    metrics = cross_validate(data, on_fold=on_step)
    model, name = fit(data, metrics.gain), sentiment_name(data.language)
    version = _register(context, data, model, metrics)
    context.registry.set_alias(name, "challenger", version)
    why = context.why_not(name, version) if model.wins else None
    if serves := model.wins and why is None:
        promote(context, now_us, name=name, version=version)
    on_step()
    figures = metrics.figures()
    shown = {key: figures.pop(key) for key in ("auc", "built_in_auc", "gain_low", "gain_high")}
    details = {"rows": len(data), "data_hash": data.digest(), **({} if why is None else {"approval": why}), **figures}
    return {"model": f"{name}@{version}", "serves": serves, **shown, "details": details}


def _fit(
    documents: Sequence[Sequence[str]], data: LabelledMessages, rows: Ints, gain: ConfidenceInterval
) -> SentimentModel:
    """Fit a model to these rows; `documents` holds the terms of every message."""
    vectorizer = TfidfVectorizer(analyzer=lambda document: document, sublinear_tf=True, min_df=MIN_MESSAGES)
    try:
        x = vectorizer.fit_transform([documents[row] for row in rows])
    except ValueError:
        raise Refused(f"too little to learn from: no word occurs in {MIN_MESSAGES} messages") from None
    regression = LogisticRegression(C=_INVERSE_PENALTY, max_iter=_ITERATIONS)
    with warnings.catch_warnings(), threadpool_limits(1, "blas"):  # waiting threads spin: it takes 20 times as long
        warnings.simplefilter("ignore", ConvergenceWarning)  # what counts is what it reaches on unseen messages
        regression.fit(x, data.codes[rows])
    weights, intercepts = _per_class(regression, len(data.classes))
    interval = (gain.value, gain.low, gain.high)
    vocabulary = tuple(str(term) for term in vectorizer.get_feature_names_out())
    return SentimentModel(data.language, data.classes, vocabulary, vectorizer.idf_, weights, intercepts, interval)


def _per_class(regression: LogisticRegression, classes: int) -> tuple[Floats, Floats]:
    """Return weights (k, m) and intercepts (k,) of the softmax; a class without messages has next to no probability."""
    present, weights, intercepts = regression.classes_, regression.coef_, regression.intercept_
    if len(present) == 2:  # scikit-learn keeps the second class's log-odds alone
        weights, intercepts = np.vstack([0.0 * weights, weights]), np.concatenate([[0.0], intercepts])
    all_weights, all_intercepts = np.zeros((classes, weights.shape[1])), np.full(classes, _NEVER)
    all_weights[present], all_intercepts[present] = weights, intercepts
    return all_weights, all_intercepts


def _register(context: LearningContext, data: LabelledMessages, model: SentimentModel, metrics: MessageMetrics) -> int:
    """Register a new version with its metrics, and no word of any message: terms are in the sealed copy alone."""
    from training.reporting.plots import calibration_plot  # noqa: PLC0415  Matplotlib takes a second to import

    name = sentiment_name(data.language)
    with TemporaryDirectory(dir=context.data) as scratch:
        bins = calibration_table(data.negative, metrics.negative)
        plot = calibration_plot(Path(scratch) / "calibration.png", bins, f"{name}: negative, on held-out messages")
        params = {"rows": len(data), "terms": len(model.vocabulary), "min_messages": MIN_MESSAGES}
        about = Provenance(data.digest(), ("text",), context.release.hash, params, metrics.figures(), [plot])
        return context.registry.register(model.files(), name, about)
