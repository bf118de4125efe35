"""Files of shapes that no recipe knows, and what a person would write into the blanks of their drafts."""

import json
import random
import re
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

import xlsxwriter

from features.importing.drafting import draft_mapping
from features.importing.reading import BLANK

NOW_US = 1_780_000_000_000_000
PERSON = {
    "author": "A. Jansen",
    "text": "They are our customers, and agreed to it in writing.",
    "since": "2024-01-01",
    "as_of": "2026-01-01",
    "issue": "retain",
    "value": "60",
    "title": "Stay with us",
    "medium": "email",
    "after_outcome": "true",
    "adult": "true",
    "hardship": "false",
    "vulnerable": "false",
    "open_complaint": "false",
    "consents": "[{purpose: marketing}]",
}
"""What a person writes, by key, or by name of the asserted feature."""


def drafted(folder: Path, *files: Path, **options: str) -> str:
    """Return the text of the draft for files."""
    return draft_mapping("drafted", files, folder, NOW_US, **options).text


def confirmed(text: str, **answers: str) -> tuple[str, int]:
    """Return a draft with every blank filled, and the number of lines that a person wrote."""
    channel = re.search(r"- \{id: (\w+), direction", text)
    bases = f"[{{id: choosing, purpose: profiling, basis: legitimate-interests, channels: [{channel and channel[1]}]}}]"
    known, lines = {**PERSON, "bases": bases, **answers}, text.splitlines()
    written = [n for n, line in enumerate(lines) if BLANK in line.partition("#")[0]]
    for n in written:
        lines[n] = lines[n].replace(BLANK, _answer(lines[n], known), 1)
    return "\n".join(lines) + "\n", len(written)


def _answer(line: str, known: Mapping[str, str]) -> str:
    name = re.search(r"\{name: (\w+), value", line)
    key = re.search(rf"(\w+): {BLANK}", line)
    assert key is not None, line
    return known[name[1] if name else key[1]]


def renewals(path: Path, rows: int = 400) -> Path:
    """Write an insurer's renewals as a Dutch workbook."""
    draw, book = random.Random(4), xlsxwriter.Workbook(path)
    sheet, day = book.add_worksheet("Polissen"), book.add_format({"num_format": "dd-mm-yyyy"})
    names = ("Klantnummer", "Naam", "Geslacht", "Leeftijd", "Regio", "Premie", "Schades", "Peildatum", "Nieuwsbrief")
    sheet.write_row(0, 0, (*names, "Verlengd"))
    for n in range(1, rows + 1):
        age, claims, region = draw.randint(18, 90), draw.randint(0, 3), draw.choice(("Noord", "Zuid", "West"))
        sheet.write_row(n, 0, (f"K{n:05}", f"Persoon {n}", draw.choice(("man", "vrouw")), age, region))
        sheet.write_row(n, 5, (round(draw.uniform(5, 90), 2), claims))
        sheet.write_datetime(n, 7, date(2025, 6, 1) + timedelta(days=n % 90), day)
        sheet.write_row(n, 8, (draw.choice(("ja", "nee")), "ja" if draw.random() < 0.3 + age / 200 else "nee"))
    book.close()
    return path


def impressions(path: Path, rows: int = 600) -> Path:
    """Write a log of impressions as JSON lines; two impressions of a visitor stand at the same time."""
    draw = random.Random(5)
    with path.open("w") as file:
        for n in range(rows):
            visitor = n // 2
            campaign = draw.choice(("summer-sale", "free delivery", "control"))
            row = {
                "impression_id": f"i-{n}",
                "visitor_id": f"v-{visitor}",
                "sent_at": f"2025-05-{1 + visitor % 28:02}T10:00:00Z",
                "campaign": campaign,
                "channel": ("email", "app")[n % 2],
                "propensity": 0 if n == 7 else round(1 / 3, 4),
                "position": n % 2,
                "visits": visitor % 9,
                "membership": ("gold", "silver")[visitor % 2],
                "opt_in": visitor % 3 == 0,
                "clicked": draw.random() < (0.1 if campaign == "control" else 0.3),
            }
            file.write(json.dumps(row) + "\n")
    return path
