"""Every mistake of `mistakes.yaml` is reported once, at its line, with a suggestion; correct files are accepted."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from decisioning.catalogue.files import load
from decisioning.errors import ConfigError, Mistake

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "mistakes.yaml").read_text("utf-8"))
REQUIRED = """purposes:
  - {id: marketing, notice_version: "1"}
  - {id: service, notice_version: "1"}
  - {id: emotion, notice_version: "1"}
settings: {locales: [nl, en], time_zone: Europe/Amsterdam, age_feature: age}
channels:
  - {id: web, direction: inbound, placements: [hero, sidebar]}
  - {id: email, direction: outbound, placements: [mail], medium: email}
  - {id: agent, direction: inbound, placements: [suggestion], human: true}
signals:
  - {id: login, retention_days: 30}
  - {id: message, retention_days: 30, tags: [emotion]}
  - {id: call, retention_days: 1, fields: [{name: illness, dtype: bool, tags: [special-category]}]}
  - id: view
    retention_days: 30
    fields:
      - {name: page, dtype: string}
      - {name: plan, dtype: enum, values: [basic, plus]}
      - {name: seconds, dtype: float, unit: s, min: 0}
features:
  - {name: age, dtype: int, min: 0, max: 130}
  - {name: fee_eur, dtype: float, unit: EUR, min: 0, max: 500}
  - {name: plan, dtype: enum, values: [basic, plus]}
  - {name: since, dtype: timestamp}
  - {name: hardship, dtype: bool, model_input: false}
  - {name: mood, dtype: float, tags: [emotion]}
  - {name: illness, dtype: bool, tags: [special-category]}
  - {name: mood_score, dtype: float, source: model, tags: [emotion]}
actions:
  - {id: tv-bundle, issue: grow, group: tv, tier: commercial, value: 9}
  - {id: fix-router, issue: service, group: help, tier: service, value: 1, purposes: [service]}
protections:
  - {id: hardship, kind: hardship, when: hardship}
  - {id: other, kind: [vulnerability, bereavement, arrears, complaint, service-issue], when: hardship}
"""


def problems(files: dict[str, str], environment: Any = "dev") -> tuple[Mistake, ...]:
    with pytest.raises(ConfigError) as caught:
        load(files, environment)
    return caught.value.problems


@pytest.mark.promise("configuration.mistakes")
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_mistake(case: dict[str, Any]) -> None:
    files = {} if case.get("alone") else {"a.yaml": REQUIRED}
    mistakes = problems({"case.yaml": case["yaml"], **files}, case.get("environment", "dev"))
    assert len(mistakes) == 1, [str(problem) for problem in mistakes]
    assert (mistakes[0].file, mistakes[0].line) == ("case.yaml", case["line"]), str(mistakes[0])
    assert case["says"] in mistakes[0].message
    if "suggests" in case:
        assert case["suggests"] in (mistakes[0].suggestion or "")


def test_everything_is_found_in_one_pass() -> None:
    """Mistakes in the shape of one record hide neither those of others nor what refers to them."""
    text = """
features: [{name: new, dtype: flaot}]
channels: [{id: new, direction: inbound}]
actions:
  - {id: new, issue: service, group: new, tier: service, value: 1, purposes: [service], treatments: [
      {id: x, channel: new, placements: [any], content_ref: a},
      {id: y, channel: old, placements: [any], content_ref: a}]}
  - {id: newer, issue: service, group: newer, tier: service}
policies:
  - {id: fine, level: contact, permit: "new > 3", attach: {group: newer}}
  - {id: new, level: contact, permit: "agee > 3", attach: {action: newer}}
"""
    mistakes = problems({"case.yaml": text, "a.yaml": REQUIRED})
    assert [problem.line for problem in mistakes] == [2, 3, 7, 8, 11]


def test_a_file_that_cannot_be_read_hides_only_what_would_refer_to_it() -> None:
    text = "purposes: [{id: 3}]\npolicies:\n  - {id: new}\ncaps: [{id: new, count: action, limit: 1, window_days: 1,\n"
    text += "  attach: {action: unknown}}]"
    mistakes = problems({"a.yaml": REQUIRED, "b.yaml": "actions: {", "case.yaml": text})
    where = [(problem.file, problem.line) for problem in mistakes]
    assert where == [("b.yaml", 1), ("case.yaml", 1), ("case.yaml", 1), ("case.yaml", 3)]


CORRECT = """
features:
  - {name: stated, dtype: bool, asserted_by: jane}
  - {name: fixed, dtype: int, min: 3, max: 3}
  - {name: calls, dtype: int, source: signal, signal: {of: call, compute: count, window: 366d}}
  - {name: long_views, dtype: int, source: signal, signal: {of: [view, login], compute: session_events, gap_min: 1440}}
  - {name: last_plan, dtype: enum, values: [basic, none, plus], source: signal, max_age_s: 60,
     signal: {of: view, where: {plan: [basic, plus], seconds: 0}, compute: last, field: plan}}
bases: [{id: new, purpose: marketing, basis: legitimate-interests, channels: [email], text: Soft opt-in}]
actions:
  - id: new
    issue: hardship
    group: help
    tier: service
    value: 1
    purposes: [service]
    lever: [{factor: 2, until: 2026-01-01}, {factor: 3, from: 2026-01-01, until: 2026-02-01}]
    supersedes: fix-router
    treatments:
      - {id: web, channel: web, placements: [hero], content: {nl: {title: "{mood} {{x}}"}, en: {title: "{mood}"}},
         tone: {calm: {en: {title: "{illness}"}}}}
caps: [{id: new, count: customer, limit: 0, window_days: 800}]
policies:
  - {id: kind, level: suitability, deny: "illness", attach: {action: new}}
  - {id: kinder, level: suitability, deny: illness, attach: {issue: [hardship]}}
  - {id: longest, level: contact, permit: 'history(action, "declined", "800d") == 0'}
emotion: [{id: new, when: "mood < 0.0 || illness", silence_sales: true, let_through: [new], tone: neutral}]
personas: [{id: new, channel: web, placements: [hero], facts: {age: 130, fee_eur: 0, plan: plus}, expect: {none: true}}]
"""


def test_what_is_right_up_to_the_edge_is_accepted() -> None:
    assert len(load({"a.yaml": REQUIRED, "b.yaml": CORRECT}).actions) == 3
    assert [problem.line for problem in problems({"a.yaml": REQUIRED, "b.yaml": CORRECT}, "prod")] == [3]


def test_caps_on_sales_may_wait_for_sales() -> None:
    purposes = "purposes: [{id: service, notice_version: '1'}]\n"
    action = "{id: new, issue: service, group: help, tier: service, value: 1, purposes: [service]}"
    caps = "caps: [{id: new, count: action, limit: 1, window_days: 1}]"
    assert load({"a.yaml": f"{purposes}actions: [{action}]\n{caps}"}).caps


@pytest.mark.parametrize(
    ("tag", "declared", "missing"),
    [
        ("request", "service", None),
        ("request", "emotion", "it reads a request, and no purpose `service` is declared"),
        ("emotion", "emotion", None),
        ("emotion", "service", "it uses emotion, and no purpose `emotion` is declared"),
    ],
)
def test_a_request_needs_the_purpose_service_and_an_emotion_its_own(
    tag: str, declared: str, missing: str | None
) -> None:
    purposes = f"purposes: [{{id: {declared}, notice_version: '1'}}]\n"
    feature = f"features: [{{name: wish, dtype: bool, tags: [{tag}]}}]\n"
    rules = "emotion: [{id: asks, when: wish, silence_sales: true}]"
    files = {"a.yaml": purposes + feature + rules}
    if missing is None:
        assert load(files).emotion
    else:
        assert [problem.message.partition(": ")[2] for problem in problems(files)] == [missing]
