"""How the customer's own pages are answered: in their language, to whoever came by a link, with the token of forms."""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request, Response

from serving.access.people.cookies import OWN_PAGE
from serving.access.people.requests import CSRF_FIELD, People, read_form
from serving.access.people.signing import new_token
from serving.brain.runtime import Brain
from serving.customers.rights.company_sign_in import CompanySignIn
from serving.customers.rights.entering import Entering, Visit
from serving.pages.frame import page
from serving.pages.languages import LANGUAGES, Language
from serving.pages.me.words import language_of, words

_NAMES: Final[dict[Language, str]] = {"nl": "Nederlands", "en": "English"}
_LANGUAGE: Final = "lang"
_CHALLENGE: Final = {"WWW-Authenticate": "Form"}
"""RFC 9110 wants one with a 401; browsers know no such scheme, and show the page."""


@dataclass(frozen=True)
class OwnPages:
    """What the customer's own pages are made with."""

    brain: Brain
    people: People
    entering: Entering
    company: CompanySignIn

    async def visit(self, request: Request) -> Visit | None:
        """Return which customer makes a request, or None."""
        cookie = self.people.cookies.read("me", request.scope["headers"])
        return None if cookie is None else await self.people.pools.people.run(self.entering.find, cookie)

    def language(self, request: Request) -> Language:
        """Return the language in which a request is answered."""
        return language_of(
            request.query_params.get(_LANGUAGE),
            self.people.cookies.read("language", request.scope["headers"]),
            request.headers.get("accept-language", ""),
            self.brain.snapshot.release,
        )

    def page(self, request: Request, template: str, status: int = 200, **about: Any) -> Response:
        """Return one of the pages; `again` in `about` is the query by which the page is opened once more."""
        lang = self.language(request)
        other = next(one for one in LANGUAGES if one != lang)
        up = "../" * (request.scope["path"].count("/") - 1)
        again = urlencode({**about.pop("again", {}), _LANGUAGE: other})
        settings = self.brain.workspace.settings
        answer = page(
            f"me/{template}",
            request,
            status,
            lang=lang,
            t=words(lang),
            signs_in=self.company.is_there,
            company=settings.controller or self.brain.workspace.name,
            other={"lang": other, "name": _NAMES[other], "address": f"{up}{about.pop('path', OWN_PAGE[1:])}?{again}"},
            **about,
        )
        if request.query_params.get(_LANGUAGE) == lang:
            answer.headers.append("Set-Cookie", self.people.cookies.set("language", lang))
        answer.headers.update(_CHALLENGE if status == 401 else {})
        return answer

    def message(self, request: Request, name: str, status: int = 200, **about: Any) -> Response:
        """Return the page that tells the customer the text of this name."""
        t = words(self.language(request))
        texts = about.pop("texts", (f"{name}-text",))
        onward = {"onward": None, **about}
        return self.page(request, "message.html", status, title=t[f"{name}"], texts=[t[one] for one in texts], **onward)

    def away(self, request: Request, status: int = 200) -> Response:
        """Return the page of who has no session: where they sign in, or how to get a link."""
        over = () if status == 200 else ("away-over",)
        if self.company.is_there:
            return self.message(
                request, "sign-in-title", status, texts=(*over, "sign-in-text"), onward=self.to_sign_in(request)
            )
        return self.message(request, "away-title", status, texts=(*over, "away-text", "away-ask"))

    def to_sign_in(self, request: Request) -> dict[str, str]:
        """Return the link to the company's own sign-in."""
        return {"path": f"{OWN_PAGE[1:]}/sign-in", "name": words(self.language(request))["sign-in"]}

    def unconfirmed(self, request: Request, path: str) -> Response:
        """Return the page that says what a customer who came by a link alone does first.

        :param path: the part of their page on which they do it
        """
        text = "confirm-sign-in" if self.company.is_there else "confirm-code"
        onward = {"path": f"{OWN_PAGE[1:]}{path}", "name": words(self.language(request))["go-on"]}
        return self.message(request, "code-title", 403, texts=(text, "nothing-changed"), onward=onward)

    async def form(self, request: Request, visit: Visit) -> dict[str, str] | None:
        """Return the fields of a form of the customer's own page, or None for a form of another page.

        Raises RequestError for what is no form.
        """
        fields = await read_form(request)
        return fields if self.entering.is_token(visit, fields.get(CSRF_FIELD, "")) else None

    def stale(self, request: Request, status: int = 403) -> Response:
        """Return the page that answers a form which this browser was not given."""
        onward = {"path": OWN_PAGE[1:], "name": words(self.language(request))["go-on"]}
        return self.message(request, "form-stale", status, onward=onward)

    def browser_token(self, request: Request) -> tuple[str, str | None]:
        """Return the token of a form for this browser alone, and the cookie that it needs for that, if it has none."""
        known = self.people.cookies.read("form", request.scope["headers"])
        browser = known or new_token()
        token = self.people.sign_in.signer.mac("form", browser)
        return token, None if known else self.people.cookies.set("form", browser)

    def is_own_form(self, request: Request, token: str) -> bool:
        """Tell whether the page that this browser was given sends a form."""
        browser = self.people.cookies.read("form", request.scope["headers"])
        return browser is not None and self.people.sign_in.signer.matches("form", browser, token)


def sent_to(request: Request, path: str, *cookies: str) -> Response:
    """Return the answer that sends a browser to one of the customer's own pages."""
    answer = Response(status_code=303, headers={"Location": request.scope["root_path"] + path})
    for cookie in cookies:
        answer.headers.append("Set-Cookie", cookie)
    return answer
