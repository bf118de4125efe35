"""A customer at their own page, in a browser without scripts, and the company that lets them in."""

import html
import re
from urllib.parse import urlsplit

from tests.serving.people.browser import Answer, Browser
from tests.serving.workspaces import Client

_FORM = re.compile(r'<form method="post" action="([^"]*)".*?</form>', re.DOTALL)
_FIELD = re.compile(r'<(?:input type="hidden"|button[^>]*) name="(\w+)" value="([^"]*)"')


def link_for(client: Client, customer: str, **body: object) -> str:
    """Return path and query of a new link, as the company's system gets it."""
    status, made = client("POST", f"/v1/customers/{customer}/links", {"locale": "en", **body})
    assert status == 200, made
    parts = urlsplit(made["url"])
    return f"{parts.path}?{parts.query}"


def code_for(client: Client, customer: str) -> str:
    """Return a new one-time code."""
    return str(client("POST", f"/v1/customers/{customer}/codes", {})[1]["code"])


def entered(client: Client, customer: str) -> Browser:
    """Return the browser of a customer who opened their link and pressed the button."""
    browser = Browser(client)
    assert press(browser, link_for(client, customer), "enter")[0] == 303
    return browser


def press(browser: Browser, page: str, action: str, number: int = 0, **typed: str) -> Answer:
    """Send a form of a page as it stands, with what was typed; `action` is how its address ends, `number` which one."""
    forms = [form for form in _FORM.finditer(browser.get(page)[2]) if form[1].endswith(action)]
    fields = {name: html.unescape(value) for name, value in _FIELD.findall(forms[number][0])}
    return browser.post("/me/" + forms[number][1].rpartition("me/")[2], {**fields, **typed})


def heading(answer: Answer) -> str:
    """Return the heading of a page."""
    found = re.search(r"<h1>(.*?)</h1>", answer[2])
    return html.unescape(found[1]) if found else ""
