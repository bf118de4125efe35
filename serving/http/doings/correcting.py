"""The routes by which it is told what people did about a suggestion or a message, and what became of sales by voice."""

from functools import partial

from fastapi import FastAPI, Request, Response

from serving.access.looks import doer_of
from serving.brain.runtime import Brain
from serving.contract import CorrectionIn, OverrideIn
from serving.customers.corrections import record_correction, record_override
from serving.customers.items import answer_items
from serving.http.replies import items_reply, problems, read_body
from serving.pages.desk.sales.steps import record_step
from serving.people.handover_forms import SaleStepIn

_STATUSES = ("recorded", "repeated")


def correction_routes(app: FastAPI, brain: Brain) -> None:
    """Add the routes to the application."""

    @app.post("/v1/overrides", responses=problems(404, 409, 410, 413, 422, 503))
    async def overrides(request: Request) -> Response:
        """Record what a person did about a suggestion: followed, overrode or regretted it. One, or an array, by item.

        It is no outcome and changes no rule: the report counts it, with its reason.
        """
        body, work = await read_body(request), partial(record_override, brain, by=doer_of(request.scope))
        pool = brain.pools.for_body(body)
        return items_reply(await pool.run_async(answer_items, OverrideIn, body, work, _STATUSES))

    @app.post("/v1/corrections", responses=problems(404, 409, 410, 413, 422, 503))
    async def corrections(request: Request) -> Response:
        """Record that a message was scored wrong, and what is right. One, or an array, by item.

        Nothing is scored anew by it: `brain train messages` learns from it, where the text may be kept.
        """
        body, work = await read_body(request), partial(record_correction, brain, by=doer_of(request.scope))
        pool = brain.pools.for_body(body)
        return items_reply(await pool.run_async(answer_items, CorrectionIn, body, work, _STATUSES))

    @app.post("/v1/sales", responses=problems(404, 409, 410, 413, 422, 503))
    async def sales(request: Request) -> Response:
        """Record that a sale by voice was confirmed, or that the customer withdrew. One, or an array, by item.

        A customer agrees at the desk alone, where all that must be said is ticked. After the cooling-off time nobody
        withdraws any more.
        """
        body, work = await read_body(request), partial(record_step, brain, by=doer_of(request.scope))
        pool = brain.pools.for_body(body)
        return items_reply(await pool.run_async(answer_items, SaleStepIn, body, work, _STATUSES))
