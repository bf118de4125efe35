"""`brain train messages`: a model that hears, fitted to the product's own phrasings and a company's own messages.

`python -m training.learning.messages.hearing` fits the model that comes with the product and writes its files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from decisioning.errors import Refused
from decisioning.hashes import content_id
from features.decisions.log import Progress
from features.importing.opening import Stated
from features.messages.hearing.model import BUILT_IN, KIND, KINDS, HearingModel
from features.messages.text import clean
from training.fitting.messages.hearing import fit
from training.learning.context import LearningContext
from training.learning.promotion import promote
from training.reporting.registration import Result
from training.rows.hearing_corpus import ORDINARY, Example, generate
from training.rows.message_data import read_rows
from training.tracking import Provenance

LABELS = (*KINDS, ORDINARY)
_FEWEST = 20
_OWN_WEIGHT = 5.0
"""How much a message of the company counts beside a generated one."""
_STEPS = 3


@dataclass(frozen=True, slots=True)
class OwnMessages:
    """Different messages of a company with their labels; `left_out` of the `rows` lack one or are repeated.

    `corrected`: how many rows are messages that people corrected. `only_counted`: those that teach nothing.
    """

    labels: dict[str, str]
    rows: int
    corrected: int = 0
    only_counted: int = 0

    @property
    def left_out(self) -> int:
        return self.rows - len(self.labels)

    def with_corrected(self, labels: Mapping[str, str], only_counted: int) -> "OwnMessages":
        """Return these messages and corrected ones (text -> label); what the file says of a message holds."""
        return OwnMessages({**labels, **self.labels}, self.rows + len(labels), len(labels), only_counted)

    def digest(self) -> str:
        """Return `sha256:<hex>` over every text and label."""
        return content_id(f"{label}\0{text}\0".encode("utf-8", "surrogatepass") for text, label in self.labels.items())


def read_own(file: Path, stated: Stated | None = None) -> OwnMessages:
    """Return the messages of a file with columns `text` and `label`, one of `LABELS`.

    :raises Refused: a row is invalid, or there are too few
    """
    rows = read_rows(file, LABELS, stated)
    labels: dict[str, str] = {}
    for row in rows.labelled:
        labels.setdefault(row["text"], row["label"].strip().lower())
    if len(labels) < _FEWEST:
        raise Refused(f"{file.name} holds {len(labels)} different messages with a label, and {_FEWEST} are needed")
    return OwnMessages(labels, rows.count)


def train(context: LearningContext, own: OwnMessages, now_us: int, progress: Progress | None = None) -> Result:
    """Train a new version of `hearing`, which hears from then on; `brain promote hearing@N` goes back to another.

    `heard` and `false_alarms` are shares of the company's messages of each half, judged by a model of the other half.
    """
    report = progress or (lambda *_: None)
    report(0, _STEPS, "learning to hear")
    held_out = _judged_apart(own)
    report(1, _STEPS, "learning to hear")
    model = fitted(generate(), own.labels)
    report(2, _STEPS, "learning to hear")
    version = _register(context, model, own, held_out)
    context.registry.set_alias(KIND, "challenger", version)
    why = context.why_not(KIND, version)
    if why is None:
        promote(context, now_us, name=KIND, version=version)
    report(3, _STEPS, "learning to hear")
    details = {"data_hash": own.digest(), **({} if why is None else {"approval": why})}
    counts = {"rows": own.rows, "left_out": own.left_out, "corrected": own.corrected}
    about = {"release": context.release.hash, **counts, "only_counted": own.only_counted, **held_out}
    return {**about, "model": f"{KIND}@{version}", "serves": why is None, "details": details}


def fitted(examples: Sequence[Example], own: dict[str, str] | None = None) -> HearingModel:
    """Return the model of generated examples and of own messages (text -> label)."""
    own = own or {}
    texts = [*(e.text for e in examples), *own]
    kinds = [*(e.kind for e in examples), *own.values()]
    families = [*(e.family for e in examples), *own]
    weights = [1.0] * len(examples) + [_OWN_WEIGHT] * len(own)
    with threadpool_limits(1):  # waiting threads spin: it takes many times as long
        return fit(texts, kinds, families, weights)


def _judged_apart(own: OwnMessages) -> dict[str, float]:
    """Return the shares that are heard, and falsely heard, of each half of the messages by a model of the other."""
    messages, examples = list(own.labels.items()), generate(per_family=4)
    hits, alarms, expected = 0, 0, sum(label != ORDINARY for _, label in messages)
    for half in (0, 1):
        model = fitted(examples, dict(messages[half::2]))
        for text, label in messages[1 - half :: 2]:
            heard = model.heard(clean(text))
            hits += label in heard
            alarms += bool(heard.keys() - {label})
    return {"heard": hits / max(1, expected), "false_alarms": alarms / len(messages)}


def _register(context: LearningContext, model: HearingModel, own: OwnMessages, figures: dict[str, float]) -> int:
    params = {"rows": len(own.labels), "weights": int(np.count_nonzero(model.weights))}
    about = Provenance(own.digest(), ("text",), context.release.hash, params, figures)
    return context.registry.register(model.files(), KIND, about)


if __name__ == "__main__":
    for name, content in fitted(generate()).files().items():
        BUILT_IN.mkdir(exist_ok=True)
        (BUILT_IN / name).write_bytes(content)
