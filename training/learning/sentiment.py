"""`brain train sentiment`: a model of a company's own messages, which serves where it beats the built-in scorer."""

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
from training.model.frame import Floats, Ints
from training.registry import Provenance, Registry, sentiment_name
from training.reporting.reporting import Result
from training.rows.message_data import LabelledMessages, MessageFile

MIN_MESSAGES = 3
"""A term has to occur in so many: rarer ones teach little, and may tell of one customer."""
_FOLDS = 5
_INVERSE_PENALTY = 2.0
_STEPS = 1_000
_NEVER = -30.0
"""An intercept that leaves no probability."""
_UNTRIED = ConfidenceInterval(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class MessageMetrics:
    """What was reached on messages that the judging model had not seen.

    `negative` (n,) are the probabilities given, `accuracy` of the likeliest class. `gain`: AUC for negative messages
    less that of the built-in scorer.
    """

    negative: Floats
    accuracy: float
    auc: float
    built_in_auc: float
    log_loss: float
    gain: ConfidenceInterval


def fit(data: LabelledMessages, gain: ConfidenceInterval) -> SentimentModel:
    """TF-IDF of words and pairs, multinomial logistic regression; Refused where no term occurs often enough."""
    return _fit([terms(said) for said in data.texts], data, np.arange(len(data)), gain)


def judge(data: LabelledMessages, seed: int = 0, tell: Callable[[], None] | None = None) -> MessageMetrics:
    """Each fifth by a model of the others, beside the built-in scorer of the language; `tell` is called five times."""
    said = [terms(text) for text in data.texts]
    fold = stratified_folds(data.negative, _FOLDS, seed)
    found, built_in = np.zeros((len(data), len(data.classes))), np.zeros(len(data))
    for k in range(_FOLDS):
        model = _fit(said, data, np.flatnonzero(fold != k), _UNTRIED)
        for row in np.flatnonzero(fold == k):
            found[row] = list(model.probabilities(data.texts[row]).values())
            built_in[row] = -score(data.texts[row], data.language).polarity
        if tell:
            tell()
    negative = found[:, data.classes.index(NEGATIVE)]
    return MessageMetrics(
        negative,
        float((found.argmax(1) == data.codes).mean()),
        auc(data.negative, negative),
        auc(data.negative, built_in),
        log_loss(data.negative, np.clip(negative, 1e-12, 1.0 - 1e-12)),
        auc_gain(data.negative, negative, built_in),
    )


def train(
    workspace_data: Path, registry: Registry, data: MessageFile, *, release: str, progress: Progress | None = None
) -> Result:
    """Per language a new version of `sentiment-<language>`: the challenger, and where it wins the champion that serves.

    It wins where the 95% interval of its gain in AUC over the built-in scorer, on messages it had not seen, lies above
    zero. The registered model learns from all messages.
    """
    steps = iter(range(1, len(data.languages) * (_FOLDS + 1) + 1))

    def tell() -> None:
        if progress:
            progress(next(steps), len(data.languages) * (_FOLDS + 1), "training on messages")

    models = [_train(workspace_data, registry, part, release, tell) for part in data.languages]
    return {"release": release, "rows": data.rows, "left_out": data.left_out, "models": models}


def _train(
    workspace_data: Path, registry: Registry, data: LabelledMessages, release: str, tell: Callable[[], None]
) -> Result:
    judged = judge(data, tell=tell)
    model = fit(data, judged.gain)
    version, name = _register(workspace_data, registry, data, model, judged, release), sentiment_name(data.language)
    registry.set_alias(name, "challenger", version)
    if model.wins:
        registry.set_alias(name, "champion", version)
    tell()
    found = _metrics(judged)
    told = {key: found.pop(key) for key in ("auc", "built_in_auc", "gain_low", "gain_high")}
    details = {"rows": len(data), "data_hash": data.digest(), **found}
    return {"model": f"{name}@{version}", "serves": model.wins, **told, "details": details}


def _fit(said: Sequence[Sequence[str]], data: LabelledMessages, rows: Ints, gain: ConfidenceInterval) -> SentimentModel:
    vectorizer = TfidfVectorizer(analyzer=lambda one: one, sublinear_tf=True, min_df=MIN_MESSAGES)
    try:
        x = vectorizer.fit_transform([said[row] for row in rows])
    except ValueError:
        raise Refused(f"too little to learn from: no word occurs in {MIN_MESSAGES} messages") from None
    regression = LogisticRegression(C=_INVERSE_PENALTY, max_iter=_STEPS)
    with warnings.catch_warnings(), threadpool_limits(1, "blas"):  # waiting threads spin: it takes 20 times as long
        warnings.simplefilter("ignore", ConvergenceWarning)  # what counts is what it reaches on unseen messages
        regression.fit(x, data.codes[rows])
    weights, intercepts = _per_class(regression, len(data.classes))
    won = (gain.value, gain.low, gain.high)
    vocabulary = tuple(str(term) for term in vectorizer.get_feature_names_out())
    return SentimentModel(data.language, data.classes, vocabulary, vectorizer.idf_, weights, intercepts, won)


def _per_class(regression: LogisticRegression, classes: int) -> tuple[Floats, Floats]:
    """Weights (k, m) and intercepts (k,) of the softmax; a class without a message has next to no probability."""
    found, weights, intercepts = regression.classes_, regression.coef_, regression.intercept_
    if len(found) == 2:  # scikit-learn keeps the second class's log-odds alone
        weights, intercepts = np.vstack([0.0 * weights, weights]), np.concatenate([[0.0], intercepts])
    all_weights, all_intercepts = np.zeros((classes, weights.shape[1])), np.full(classes, _NEVER)
    all_weights[found], all_intercepts[found] = weights, intercepts
    return all_weights, all_intercepts


def _register(
    workspace_data: Path,
    registry: Registry,
    data: LabelledMessages,
    model: SentimentModel,
    judged: MessageMetrics,
    release: str,
) -> int:
    """A new version with what it reached, and no word of any message: terms are in the sealed copy alone."""
    from training.reporting.plots import calibration_plot  # noqa: PLC0415  Matplotlib takes a second to import

    name = sentiment_name(data.language)
    with TemporaryDirectory(dir=workspace_data) as scratch:
        folder = Path(scratch)
        bins = calibration_table(data.negative, judged.negative)
        plot = calibration_plot(folder / "calibration.png", bins, f"{name}: negative, on held-out messages")
        params = {"rows": len(data), "terms": len(model.vocabulary), "min_messages": MIN_MESSAGES}
        about = Provenance(data.digest(), ("text",), release, params, _metrics(judged), [plot])
        return registry.register(model.files(), name, about)


def _metrics(judged: MessageMetrics) -> dict[str, float]:
    return {
        "auc": judged.auc,
        "built_in_auc": judged.built_in_auc,
        "gain": judged.gain.value,
        "gain_low": judged.gain.low,
        "gain_high": judged.gain.high,
        "log_loss": judged.log_loss,
        "accuracy": judged.accuracy,
    }
