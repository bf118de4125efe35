"""Writes the report as a page, and returns the sentences of its first screen."""

from pathlib import Path
from typing import Any, Final

from serving.pages.card.actions import action_card, evidence_table, ranking_part
from serving.pages.languages import Language, in_language
from serving.pages.report import Report
from serving.pages.report.first_screen import sentences, value_plot
from serving.pages.report.models import model_sections
from serving.pages.report.results import result_sections
from serving.pages.report.wording import report_wording
from serving.pages.templates import write_document
from serving.pages.wording import Wording

TEMPLATE: Final = "report/report.html"
_TONES: Final = {"unfair": "warn", "rise": "warn", "wrong": "warn", "drift": ""}
_MOST_FINDINGS: Final = 6


def write_page(path: Path, report: Report, lang: Language = "en") -> Path:
    """Write the report as one page that works alone, and return `path`. Model cards in it stay in English."""
    return write_document(path, TEMPLATE, lang=lang, **contents(report, lang))


def contents(report: Report, lang: Language = "en") -> dict[str, Any]:
    """Return what the template shows."""
    wording = report_wording(lang)
    sections = [s for s in (*result_sections(report, wording), *model_sections(report, wording)) if s.shown]
    findings, card = report["look_at"], report.get("card")
    return {
        "report": report,
        "texts": wording.texts,
        "head": wording.text("head", wording.day(report["at"]), report["model"], str(report["release"])[7:19]),
        "sentences": sentences(report, wording),
        "value": value_plot(report, wording),
        "findings": [_finding(finding, wording) for finding in findings[:_MOST_FINDINGS]],
        "more": max(len(findings) - _MOST_FINDINGS, 0),
        "cannot_tell": in_language(report, "cannot_tell", lang),
        "sections": sections,
        "links": [(s.id, s.title) for s in sections] + ([("card", wording.text("card"))] if card else []),
        "card": card,
        "card_ranking": ranking_part(card["actions"]) if card else None,
        "card_evidence": evidence_table(card["actions"]) if card else None,
        "card_actions": [action_card(action) for action in card["actions"]] if card else [],
    }


def _finding(finding: dict[str, Any], wording: Wording) -> dict[str, str]:
    kind = finding["kind"]
    text = in_language(finding, "said", wording.lang)
    return {"kind": wording.named("kind", kind), "tone": _TONES[kind], "text": text}


def first_screen(report: Report) -> list[str]:
    """Return the sentences of the first screen, with their notes."""
    return [sentence.text for sentence in sentences(report, report_wording("en"))]
