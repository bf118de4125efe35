"""Writes the report as a page, and returns the sentences of its first screen."""

from pathlib import Path
from typing import Any, Final

from serving.pages.card.actions import action_card, evidence_table, ranking_part
from serving.pages.report import Report
from serving.pages.report.first_screen import sentences, value_plot
from serving.pages.report.models import model_sections
from serving.pages.report.results import result_sections
from serving.pages.report.wording import report_wording
from serving.pages.templates import write_document

TEMPLATE: Final = "report/report.html"
_KINDS: Final = {
    "unfair": ("Unfair", "warn"),
    "rise": ("Rise", "warn"),
    "wrong": ("Check", "warn"),
    "drift": ("Drift", ""),
}
_MOST_FINDINGS: Final = 6


def write_page(path: Path, report: Report) -> Path:
    """Write the report as one page that works alone, and return `path`."""
    return write_document(path, TEMPLATE, **contents(report))


def contents(report: Report) -> dict[str, Any]:
    """Return what the template shows."""
    sections = [s for s in (*result_sections(report), *model_sections(report)) if s.shown]
    findings = [dict(zip(("kind", "tone"), _KINDS[f["kind"]], strict=True), text=f["said"]) for f in report["look_at"]]
    card, wording = report.get("card"), report_wording("en")
    return {
        "report": report,
        "release": str(report["release"])[7:19],
        "sentences": sentences(report, wording),
        "value": value_plot(report, wording),
        "findings": findings[:_MOST_FINDINGS],
        "more": max(len(findings) - _MOST_FINDINGS, 0),
        "sections": sections,
        "links": [(s.id, s.title) for s in sections] + ([("card", "Model card")] if card else []),
        "card": card,
        "card_ranking": ranking_part(card["actions"]) if card else None,
        "card_evidence": evidence_table(card["actions"]) if card else None,
        "card_actions": [action_card(action) for action in card["actions"]] if card else [],
    }


def first_screen(report: Report) -> list[str]:
    """Return the sentences of the first screen, with their notes."""
    return [sentence.text for sentence in sentences(report, report_wording("en"))]
