"""Routes by which a company lets a customer come to their own page: links, and one-time codes."""

from functools import partial
from urllib.parse import urlencode

from fastapi import FastAPI, Request, Response

from decisioning.times import iso
from serving.access.looks import doer_of
from serving.access.people.cookies import OWN_PAGE
from serving.brain.runtime import Brain
from serving.contract import parse
from serving.customers.rights.entering import Entering
from serving.customers.rights.forms import CodeIn, LinkIn
from serving.http.paths import CustomerPath
from serving.http.replies import json_reply, problems, read_body


def link_routes(app: FastAPI, brain: Brain, entering: Entering) -> None:
    """Add the routes to the application."""

    @app.post("/v1/customers/{customer_id}/links", responses=problems(410, 422, 503))
    async def make_link(customer_id: CustomerPath, request: Request) -> Response:
        """Make a link to the customer's own page, for you to send to them.

        It works once, and only after the customer pressed a button: what opens links in messages uses nothing up.
        """
        asked = parse(LinkIn, await read_body(request) or b"{}")
        work = partial(entering.new_link, customer_id, doer_of(request.scope), asked.hours)
        code, expires_us = await brain.pools.short.run(work)
        shown = {"code": code, **({} if asked.locale is None else {"lang": asked.locale})}
        url = f"{brain.workspace.settings.address}{OWN_PAGE}/enter?{urlencode(shown)}"
        return json_reply({"customer_id": customer_id, "url": url, "expires_at": iso(expires_us)})

    @app.delete("/v1/customers/{customer_id}/links", responses=problems(410, 503))
    async def revoke_links(customer_id: CustomerPath, request: Request) -> Response:
        """Revoke the customer's links and one-time codes, and end their visits."""
        revoked = await brain.pools.short.run(entering.revoke, customer_id, doer_of(request.scope))
        return json_reply({"customer_id": customer_id, "revoked": revoked})

    @app.post("/v1/customers/{customer_id}/codes", responses=problems(410, 422, 503))
    async def make_code(customer_id: CustomerPath, request: Request) -> Response:
        """Make a one-time code, for you to send to a number or an address that you know to be the customer's.

        With it the customer may download and erase at their own page. It is valid for a quarter of an hour.
        """
        parse(CodeIn, await read_body(request) or b"{}")
        code, expires_us = await brain.pools.short.run(entering.new_code, customer_id, doer_of(request.scope))
        return json_reply({"customer_id": customer_id, "code": code, "expires_at": iso(expires_us)})
