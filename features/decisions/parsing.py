"""Ledger records as Arrow tables of rows and events, by DuckDB: the only Python object per record is its raw body."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Row

from decisioning.facts.schema import Dtype, FeatureSchema
from decisioning.times import AS_RECORDED
from features.duck import connected

KINDS = (
    *("decision", "observation", "contact", "outcome", "consent", "flag", "tombstone"),
    *("linked_to", "link", "unlink", "override", "correction", "request"),
)
NOTHING = "none"
"""The action of doing nothing."""
OPT_OUT = "opt-out"
"""The event of a consent that was withdrawn or objected to."""
INSTEAD = "instead"
"""The event of an action that a person offered in place of a suggestion, and that was not suggested there."""
_RAW = pa.schema(
    {"seq": pa.int64(), "stream": pa.string(), "kind": pa.string(), "occurred_us": pa.int64(), "body": pa.string()}
)
"""What is read of each record."""
_TYPES: dict[Dtype, str] = {
    "float": "DOUBLE",
    "int": "DOUBLE",
    "bool": "BOOLEAN",
    "enum": "VARCHAR",
    "string": "VARCHAR",
    "timestamp": "BIGINT",
}
_OFFER = {"offer_id": "VARCHAR", "propensity": "DOUBLE", "priority": "DOUBLE"}
_DECISION = {
    "decision_id": "VARCHAR",
    "decided_us": "BIGINT",
    "release": "VARCHAR",
    "model": "VARCHAR",
    "trial": "BIGINT",
    "unit": "VARCHAR",
    "shadow": {"model": "VARCHAR"},
    "scores": {"candidates": ["INTEGER"], "propensity": ["DOUBLE"]},
    "request": {"channel": "VARCHAR", "account_id": "VARCHAR"},
    "picks": [
        {
            "placement": "VARCHAR",
            "rank": "INTEGER",
            "treatment": "VARCHAR",
            "probability": "DOUBLE",
            "empty_reason": "VARCHAR",
            "immature": {"share": "DOUBLE", "given_up_eur": "DOUBLE"},
            "odds": ["FLOAT"],
        }
    ],
    "contacts": [dict.fromkeys(("offer_id", "action", "treatment", "group", "issue", "counts_on"), "VARCHAR")],
    "answer": {
        "arm": "VARCHAR",
        "model": "VARCHAR",
        "handover": {"reason": "VARCHAR"},
        "placements": [{"name": "VARCHAR", "empty_reason": "VARCHAR", "offers": [_OFFER]}],
    },
}
_OUTCOME = {"outcome": "VARCHAR", "occurred_us": "BIGINT", "value_eur": "DOUBLE"}
_OBSERVATION = {
    **dict.fromkeys(("observation_id", "action", "treatment", "group", "issue", "channel", "scope"), "VARCHAR"),
    "probability": "DOUBLE",
    "told": ["VARCHAR"],
    "outcomes": [_OUTCOME],
}
_EVENT = {
    **dict.fromkeys(("offer_id", "action", "outcome", "state", "scope", "status"), "VARCHAR"),
    "value_eur": "DOUBLE",
    "restricted": "BOOLEAN",
    "implied": "BOOLEAN",
    "corrects": {**_OUTCOME, **dict.fromkeys(("action", "offer_id", "state"), "VARCHAR"), "implied": "BOOLEAN"},
}

_JUDGEMENT = {
    **dict.fromkeys(
        ("offer_id", "action", "verdict", "reason", "instead", "instead_offer", "field", "undoes"), "VARCHAR"
    ),
    "undone_us": "BIGINT",
}
_LINK = {"person": "VARCHAR", "linked": "BOOLEAN", "visitor": "VARCHAR", "kind": "VARCHAR"}

_DECIDED = """
WITH decided AS (
  SELECT seq, stream, unnest(json_transform(body, '{decision}')) FROM raw WHERE kind = 'decision'),
picked AS (
  SELECT *, unnest(picks) AS pick, generate_subscripts(picks, 1) AS nth FROM decided),
known AS (
  SELECT *, CASE WHEN pick.treatment IS NOT NULL
      THEN contacts[len(list_filter(picks[1:nth], lambda p: p.treatment IS NOT NULL))] END AS contact,
    list_filter(answer.placements, lambda p: p.name = pick.placement)[1] AS place
  FROM picked),
offered AS (
  SELECT *, list_filter(place.offers, lambda o: o.offer_id = contact.offer_id)[1] AS offer FROM known)
SELECT seq AS _seq, stream AS _stream, request.account_id AS _account, decision_id AS _decision,
  coalesce(contact.offer_id, decision_id || '.nothing.' || (nth - 1)) AS _id, decided_us AS _at_us,
  'decision' AS _source, coalesce(contact.action, '{nothing}') AS _action,
  coalesce(regexp_extract(contact.treatment, '[^.]*$'), '') AS _treatment,
  coalesce(contact."group", '{nothing}') AS _group, coalesce(contact.issue, '{nothing}') AS _issue,
  request.channel AS _channel, pick.placement AS _placement, coalesce(pick.rank, 1) AS _rank, answer.arm AS _arm,
  answer.model AS _model, model AS _assigned, shadow.model AS _shadow, trial AS _trial, release AS _release,
  pick.probability AS _probability, pick.immature.share AS _extra, pick.immature.given_up_eur AS _given_up_eur,
  list_max(scores.propensity) AS _best, offer.propensity AS _propensity,
  offer.priority AS _priority,
  coalesce(contact.counts_on, 'decided') AS _counts_on,
  CASE WHEN contact IS NULL THEN coalesce(pick.empty_reason, place.empty_reason,
    CASE WHEN pick.probability = 1.0 THEN 'nothing_is_better' ELSE 'explored_nothing' END) END AS _empty_reason,
  answer.handover.reason AS _handover, scores.candidates AS _candidates,
  nth::INTEGER AS _nth, pick.odds AS _odds, unit AS _unit,
  CAST(NULL AS VARCHAR[]) AS _told
FROM offered
"""
"""Before format 6 a record did not say why a slot was empty in a placement that shows something."""
_OBSERVED = """
WITH observed AS (
  SELECT seq, stream, occurred_us, unnest(json_transform(body, '{observation}')) FROM raw WHERE kind = 'observation')
SELECT seq AS _seq, stream AS _stream, NULL AS _account, NULL AS _decision,
  coalesce(observation_id, 'observed-' || seq) AS _id,
  occurred_us AS _at_us, 'observation' AS _source, action AS _action,
  coalesce(regexp_extract(treatment, '[^.]*$'), '') AS _treatment, coalesce("group", '{nothing}') AS _group,
  coalesce(issue, '{nothing}') AS _issue, channel AS _channel, '' AS _placement, 1 AS _rank, 'imported' AS _arm,
  'imported' AS _model, 'imported' AS _assigned, NULL AS _shadow, NULL::BIGINT AS _trial, NULL AS _release,
  probability AS _probability,
  NULL::DOUBLE AS _extra, NULL::DOUBLE AS _given_up_eur,
  NULL::DOUBLE AS _best, NULL::DOUBLE AS _propensity, NULL::DOUBLE AS _priority,
  'decided' AS _counts_on, NULL AS _empty_reason, NULL AS _handover, NULL::INTEGER[] AS _candidates,
  NULL::INTEGER AS _nth, NULL::FLOAT[] AS _odds, NULL AS _unit, told AS _told
FROM observed WHERE scope IS DISTINCT FROM 'account'
"""
_FACTS = """
SELECT r.*, f.* EXCLUDE (seq) FROM ({rows}) r JOIN (
  SELECT seq, unnest(json_transform(body -> 'facts', '{facts}')) FROM raw WHERE kind IN ('decision', 'observation')
) f ON f.seq = r._seq
"""
_EVENTS = """
WITH e AS (
  SELECT seq, stream, kind, occurred_us, unnest(json_transform(body, '{event}'))
  FROM raw WHERE kind IN ('contact', 'outcome', 'consent', 'flag')),
o AS (
  SELECT seq, stream, occurred_us, unnest(json_transform(body, '{observation}')) FROM raw WHERE kind = 'observation'),
seen AS (
  SELECT seq, stream, coalesce(observation_id, 'observed-' || seq) AS id, action, occurred_us,
    unnest(outcomes) AS result
  FROM o WHERE scope IS DISTINCT FROM 'account'),
links AS (
  SELECT seq, stream, kind AS stated, occurred_us, json_transform(body, '{link}') AS link
  FROM raw WHERE kind IN ('linked_to', 'link', 'unlink')),
judged AS (
  SELECT seq, stream, kind, said, coalesce(said.undone_us, occurred_us) AS occurred_us,
    CASE WHEN said.undoes IS NULL THEN 1 ELSE -1 END AS sign
  FROM (SELECT *, json_transform(body, '{judgement}') AS said FROM raw WHERE kind IN ('override', 'correction'))),
reviewed AS (
  SELECT seq, stream, occurred_us, json_transform(body, '{{"offered": "VARCHAR"}}').offered AS action
  FROM raw WHERE kind = 'request')
SELECT seq, 0 AS part, stream, kind, offer_id, action,
  CASE kind WHEN 'contact' THEN state WHEN 'outcome' THEN outcome WHEN 'flag' THEN restricted::VARCHAR
    ELSE '{opt_out}' END AS name, occurred_us AS at_us, value_eur, implied, 1 AS sign
FROM e WHERE scope IS DISTINCT FROM 'account' AND (kind <> 'consent' OR status IN ('withdrawn', 'objected'))
  AND (kind <> 'outcome' OR outcome <> 'retracted') AND (kind <> 'contact' OR state <> 'retracted')
UNION ALL BY NAME
SELECT seq, 1 AS part, stream, kind, corrects.offer_id AS offer_id, corrects.action AS action,
  coalesce(corrects.outcome, corrects.state) AS name, corrects.occurred_us AS at_us, corrects.value_eur AS value_eur,
  corrects.implied AS implied, -1 AS sign
FROM e WHERE corrects IS NOT NULL
UNION ALL BY NAME
SELECT seq, row_number() OVER (PARTITION BY seq) + 1 AS part, stream, 'outcome' AS kind, id AS offer_id, action,
  result.outcome AS name, coalesce(result.occurred_us, occurred_us) AS at_us, result.value_eur AS value_eur,
  NULL::BOOLEAN AS implied, 1 AS sign
FROM seen
UNION ALL BY NAME
SELECT seq, 0 AS part, stream, 'link' AS kind, NULL::VARCHAR AS offer_id, NULL::VARCHAR AS action,
  coalesce(link.person, link.visitor) AS name, occurred_us AS at_us, NULL::DOUBLE AS value_eur,
  NULL::BOOLEAN AS implied,
  CASE WHEN stated = 'unlink' THEN -1 ELSE 1 END AS sign
FROM links WHERE CASE WHEN stated = 'linked_to' THEN link.linked ELSE link.kind = 'customer' END
UNION ALL BY NAME
SELECT seq, 0 AS part, stream, coalesce(said.verdict, kind) AS kind, said.offer_id AS offer_id, said.action AS action,
  coalesce(said.reason, said.field) AS name, occurred_us AS at_us, NULL::DOUBLE AS value_eur,
  NULL::BOOLEAN AS implied, sign
FROM judged
UNION ALL BY NAME
SELECT seq, 1 AS part, stream, '{instead}' AS kind, NULL::VARCHAR AS offer_id, said.instead AS action,
  NULL::VARCHAR AS name, occurred_us AS at_us, NULL::DOUBLE AS value_eur, NULL::BOOLEAN AS implied, sign
FROM judged WHERE said.instead IS NOT NULL AND said.instead_offer IS NULL
UNION ALL BY NAME
SELECT seq, 1 AS part, stream, '{instead}' AS kind, NULL::VARCHAR AS offer_id, action,
  NULL::VARCHAR AS name, occurred_us AS at_us, NULL::DOUBLE AS value_eur, NULL::BOOLEAN AS implied, 1 AS sign
FROM reviewed WHERE action IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class ParsedRecords:
    """`rows`: one per pick of a decision and per observation. `events`: what followed. `erased`: erased streams.

    An event of kind `link` says that its stream and the stream `name` are the same person's; with `sign` -1, that they
    are not. One of kind `accepted_suggestion`, `overridden` or `regretted` says what a person did about a suggestion,
    with the reason as its name, and one of kind `correction` names the field of a message that was wrong; with `sign`
    -1 it undoes one.
    """

    rows: pa.Table
    events: pa.Table
    erased: frozenset[str]


def parse(
    records: Sequence[Row[tuple[object, ...]]],
    schema: FeatureSchema,
    stream_of: Callable[[str], str],
    as_json: Callable[[bytes], bytes] = bytes,
    *,
    spill: Path,
) -> ParsedRecords:
    """Parse rows of the records table whose kind is in `KINDS`; records without a body are left out.

    :param stream_of: account id -> its stream
    :param as_json: reads a body, as `Ledger.figures_as_json` does
    :param spill: the folder below which DuckDB keeps what does not fit in memory
    """
    erased = frozenset(str(r.stream) for r in records if r.kind == "tombstone")
    readable = [r for r in records if r.body is not None and r.kind != "tombstone"]
    columns = {
        "seq": [r.seq for r in readable],
        "stream": [r.stream for r in readable],
        "kind": [r.kind for r in readable],
        "occurred_us": [AS_RECORDED.counted_us(r.occurred_us, r.at_us) for r in readable],
        "body": pa.array([as_json(r.body) for r in readable], pa.binary()).cast(pa.string()),
    }
    raw = pa.table(columns, _RAW)
    with connected(spill) as connection:
        connection.register("raw", raw)
        return ParsedRecords(
            _keyed(connection.sql(_rows_sql(fact_columns(schema))).to_arrow_table(), stream_of),
            connection.sql(_filled(_EVENTS)).to_arrow_table(),
            erased,
        )


def _keyed(rows: pa.Table, stream_of: Callable[[str], str]) -> pa.Table:
    """Replace account ids by their streams: no id leaves the ledger."""
    ids = pc.unique(rows["_account"])
    streams = pa.array([None if i is None else stream_of(i) for i in ids.to_pylist()], pa.string())
    at = rows.schema.get_field_index("_account")
    return rows.set_column(at, "_account", streams.take(pc.index_in(rows["_account"], ids)))


def fact_columns(schema: FeatureSchema) -> dict[str, str]:
    """Return the columns of facts, every declared feature but `now` (which is `_at_us`), with their types in DuckDB."""
    return {name: _TYPES[f.dtype] for name, f in schema.features.items() if name != "now"}


def no_rows(facts: Mapping[str, str], spill: Path) -> pa.Table:
    """Return the rows of no records, with the columns of `facts`, which are as `fact_columns` returns them."""
    with connected(spill) as connection:
        connection.register("raw", _RAW.empty_table())
        return connection.sql(_rows_sql(facts)).to_arrow_table()


def _rows_sql(facts: Mapping[str, str]) -> str:
    rows = f"({_filled(_DECIDED)}) UNION ALL BY NAME ({_filled(_OBSERVED)})"
    return _FACTS.format(rows=rows, facts=json.dumps(facts))


def _filled(sql: str) -> str:
    return sql.format(
        decision=json.dumps(_DECISION),
        observation=json.dumps(_OBSERVATION),
        event=json.dumps(_EVENT),
        link=json.dumps(_LINK),
        judgement=json.dumps(_JUDGEMENT),
        instead=INSTEAD,
        nothing=NOTHING,
        opt_out=OPT_OUT,
    )
