"""How pages are written: templates that escape whatever is put into them, answered over HTTP or kept as a file."""

import base64
import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from features.files import replace_file
from serving.pages import figures

FOLDER: Final = Path(__file__).parent
STYLE: Final = "pages.css"
SCRIPT: Final = "live.js"
PART_SCRIPT: Final = "desk.js"


@dataclass(frozen=True, slots=True)
class Style:
    """The stylesheet as a page holds it that works alone, and its hash as a Content-Security-Policy names it."""

    text: Markup
    digest: str


def render(template: str, *, lang: str = "en", **about: Any) -> str:
    """Return a page that loads its style from the server.

    :param template: the file's path below this folder
    :param about: what the template shows, with `up`, the way from the page to the server's first page (`../`)
    """
    return _templates().get_template(template).render(lang=lang, style=None, **about)


def write_document(path: Path, template: str, *, lang: str = "en", **about: Any) -> Path:
    """Write a page to a file that works alone: its style is in it, and it may load nothing. Return `path`."""
    text = document(template, lang=lang, **about)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, lambda half: half.write_text(text, encoding="utf-8"))
    return path


def document(template: str, *, lang: str = "en", **about: Any) -> str:
    """Return a page as `write_document` writes it."""
    return _templates().get_template(template).render(lang=lang, style=_own_style(), up="", **about)


@cache
def _own_style() -> Style:
    text = (FOLDER / STYLE).read_text(encoding="utf-8")
    digest = base64.b64encode(sha256(text.encode()).digest()).decode()
    return Style(Markup(text), f"sha256-{digest}")  # noqa: S704  a file of our own


@cache
def _templates() -> Environment:
    loader = FileSystemLoader(FOLDER)
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters.update(figures.FILTERS, with_code=_with_code)
    return made


def _with_code(text: str) -> Markup:
    """Return a text whose parts between backticks are marked as code; all of it is escaped."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704  it is escaped
