"""What the OpenAPI document says of each route: its group, a sentence, the form of its answer, and examples to send."""

from dataclasses import dataclass, field
from typing import Any, Final

from serving.answers import decisions, held, operating, people
from serving.answers.decisions import SignalIn
from serving.answers.form import Answer
from serving.answers.held import Export
from serving.answers.package import PackageAnswer
from serving.contract import (
    AccountPatch,
    ApprovalIn,
    Ask,
    ConsentIn,
    CorrectionIn,
    IdentityIn,
    OutcomeIn,
    OverrideIn,
    ProfilePatch,
    ReleaseIn,
    VisitorPatch,
)
from serving.customers.rights.forms import AnswerIn, CodeIn, LinkIn
from serving.http.document.examples import (
    AGENT,
    AGENT_EVENT,
    ASK,
    CATALOGUE,
    CORRECTION,
    CUSTOMER,
    GRANT,
    HANDOVER,
    LINK,
    OVERRIDE,
    QUEUE_EVENT,
    SIGNAL,
    WITHDRAWAL,
)
from serving.people.forms import AgentEventIn, AgentIn, RoutingIn
from serving.people.handover_forms import (
    AppointmentIn,
    CallTriedIn,
    ChoiceIn,
    HandoverIn,
    HandoverStepIn,
    NegotiationIn,
    SaleStepIn,
)

TAGS: Final = {
    "Decisions": "Ask what to do next for a customer, and why.",
    "Outcomes": "Tell what became of an offer, so that the brain learns.",
    "Consents": "Tell what customers allow and refuse. A refusal binds every later decision.",
    "Signals": "Tell what customers do now. The next decision sees it.",
    "Customers": "What is held of a customer: read, correct, export, restrict, erase.",
    "Accounts and visitors": "The same for contracts and households, and for anonymous visitors.",
    "Moments": "Decisions that the brain makes by itself when something happens or does not.",
    "Handovers": "Hand a conversation to a person.",
    "Agents": "The people who help customers: what they can do, what they do now, and who should help whom.",
    "Catalogue": "What may be named in requests.",
    "Operations": "Whether the server works, and what was refused.",
}
"""The groups of routes, in the order in which a newcomer needs them."""


@dataclass(frozen=True)
class Operation:
    """What the document says of one route.

    `name`: the operation's id, from which generated clients name their functions. `body`: the form of the request;
    `many`: the name of a body that is one of these or an array. `media`: of an answer that is not JSON.
    """

    tag: str
    name: str
    summary: str
    answer: type[Answer | Export] | None
    body: type[Any] | None = None
    many: str = ""
    examples: dict[str, Any] = field(default_factory=dict)
    media: str = "application/json"


OPERATIONS: Final = {
    "POST /v1/decisions": Operation(
        "Decisions",
        "decide",
        "Decide what to do next for a customer",
        decisions.DecisionAnswer,
        Ask,
        examples={"an offer for a page": ASK, "a preview, which writes nothing": {**ASK, "mode": "preview"}},
    ),
    "GET /v1/decisions/{decision_id}": Operation(
        "Decisions", "explain_decision", "Explain a decision: why, and why not", decisions.Explanation
    ),
    "POST /v1/outcomes": Operation(
        "Outcomes",
        "record_outcomes",
        "Record what customers did with offers",
        held.Recorded,
        OutcomeIn,
        many="Outcomes",
        examples={
            "of an action": {
                "outcome_id": "o-1",
                "customer_id": CUSTOMER,
                "action": "tv-bundle",
                "outcome": "accepted",
            },
        },
    ),
    "POST /v1/overrides": Operation(
        "Outcomes",
        "record_overrides",
        "Record what people did about suggestions",
        held.Recorded,
        OverrideIn,
        many="Overrides",
        examples={"something else was offered": OVERRIDE},
    ),
    "POST /v1/sales": Operation(
        "Outcomes",
        "record_sale_steps",
        "Record that sales by voice were confirmed or withdrawn",
        held.Recorded,
        SaleStepIn,
        many="Sales",
        examples={"the customer confirmed": {"step_id": "s-1", "offer_id": "d-1.0", "step": "confirmed"}},
    ),
    "POST /v1/corrections": Operation(
        "Signals",
        "record_corrections",
        "Correct what was heard in messages",
        held.Recorded,
        CorrectionIn,
        many="Corrections",
        examples={"a wish for a person that was not heard": CORRECTION},
    ),
    "POST /v1/consents": Operation(
        "Consents",
        "record_consents",
        "Record what customers allow or refuse",
        held.Recorded,
        ConsentIn,
        many="Consents",
        examples={"a withdrawal": WITHDRAWAL, "a grant": GRANT},
    ),
    "POST /v1/signals": Operation(
        "Signals",
        "record_signals",
        "Record what a customer does now",
        held.SignalsRecorded,
        SignalIn,
        many="Signals",
        examples={"a page view": SIGNAL},
    ),
    "POST /v1/identities": Operation(
        "Signals",
        "link_identifier",
        "Link an identifier to a customer, or unlink it",
        held.Linked,
        IdentityIn,
        examples={"a login": LINK, "somebody leaves a shared device": {**LINK, "status": "unlinked"}},
    ),
    "GET /v1/customers/{customer_id}": Operation(
        "Customers", "get_customer", "Show what is known of a customer", held.Customer
    ),
    "PATCH /v1/customers/{customer_id}": Operation(
        "Customers",
        "update_customer",
        "Set facts of a customer, or restrict their use",
        held.Updated,
        ProfilePatch,
        examples={"facts": {"facts": {"age": 40, "contract": "monthly"}}, "a restriction": {"restricted": True}},
    ),
    "GET /v1/customers/{customer_id}/export": Operation(
        "Customers", "export_customer", "Export everything that is held of a customer", held.Export
    ),
    "DELETE /v1/customers/{customer_id}": Operation(
        "Customers", "erase_customer", "Erase a customer", held.ErasedAnswer
    ),
    "POST /v1/customers/{customer_id}/links": Operation(
        "Customers",
        "make_link",
        "Make a link to the customer's own page",
        held.LinkMade,
        LinkIn,
        examples={"a link for a day, in Dutch": {"hours": 24, "locale": "nl"}},
    ),
    "DELETE /v1/customers/{customer_id}/links": Operation(
        "Customers", "revoke_links", "Revoke a customer's links and codes, and end their visits", held.LinksRevoked
    ),
    "POST /v1/customers/{customer_id}/codes": Operation(
        "Customers",
        "make_code",
        "Make a one-time code for the customer's own page",
        held.CodeMade,
        CodeIn,
        examples={"a code": {}},
    ),
    "GET /v1/requests": Operation(
        "Customers", "list_requests", "List what customers ask of people", held.CustomerRequests
    ),
    "POST /v1/requests/{number}/answers": Operation(
        "Customers",
        "answer_request",
        "Answer what a customer asked",
        held.CustomerRequest,
        AnswerIn,
        examples={
            "a person looks at it": {"state": "in_review", "reviewer": "e-77"},
            "the decision changes": {
                "state": "answered",
                "reviewer": "e-77",
                "answer": "You were right: we do not show you this any more.",
                "excluded": "tv-bundle",
                "reason": "they have no television",
            },
        },
    ),
    "GET /v1/accounts/{account_id}": Operation(
        "Accounts and visitors", "get_account", "Show what is known of an account", held.Account
    ),
    "PATCH /v1/accounts/{account_id}": Operation(
        "Accounts and visitors",
        "restrict_account",
        "Restrict the use of an account's data",
        held.Restricted,
        AccountPatch,
        examples={"a restriction": {"restricted": True}},
    ),
    "GET /v1/accounts/{account_id}/export": Operation(
        "Accounts and visitors", "export_account", "Export everything that is held of an account", held.Export
    ),
    "DELETE /v1/accounts/{account_id}": Operation(
        "Accounts and visitors", "erase_account", "Erase an account", held.ErasedAnswer
    ),
    "GET /v1/visitors/{visitor_id}/export": Operation(
        "Accounts and visitors", "export_visitor", "Export everything that is held of a visitor", held.Export
    ),
    "PATCH /v1/visitors/{visitor_id}": Operation(
        "Accounts and visitors",
        "restrict_visitor",
        "Restrict the use of a visitor's data",
        held.Restricted,
        VisitorPatch,
        examples={"a restriction": {"restricted": True}},
    ),
    "DELETE /v1/visitors/{visitor_id}": Operation(
        "Accounts and visitors", "erase_visitor", "Erase a visitor", held.ErasedAnswer
    ),
    "GET /v1/moments/stream": Operation(
        "Moments", "stream_moments", "Stream the decisions that moments open", None, media="text/event-stream"
    ),
    "GET /v1/live": Operation(
        "Moments", "stream_topics", "Stream what is new about several topics", None, media="text/event-stream"
    ),
    "GET /v1/moments/dead": Operation(
        "Moments", "list_dead_deliveries", "List deliveries that were given up", operating.DeadLetters
    ),
    "GET /v1/moments/withheld": Operation(
        "Moments", "list_withheld_deliveries", "List deliveries that were stopped", operating.WithheldDeliveries
    ),
    "POST /v1/handovers": Operation(
        "Handovers",
        "open_handover",
        "Hand a conversation to a person",
        people.HandoverAnswer,
        HandoverIn,
        examples={"a customer asks for a person": HANDOVER},
    ),
    "PUT /v1/agents/{agent_id}": Operation(
        "Agents",
        "put_agent",
        "State what an agent can do",
        people.AgentAnswer,
        AgentIn,
        examples={"an agent for chats and calls": AGENT},
    ),
    "GET /v1/agents": Operation("Agents", "list_agents", "List agents, and what each does now", people.Agents),
    "GET /v1/agents/{agent_id}": Operation("Agents", "get_agent", "Show what is held of an agent", people.AgentAnswer),
    "GET /v1/agents/{agent_id}/export": Operation(
        "Agents", "export_agent", "Export everything that is held of an agent", people.AgentExport
    ),
    "DELETE /v1/agents/{agent_id}": Operation("Agents", "erase_agent", "Erase an agent", people.AgentErased),
    "POST /v1/agent-events": Operation(
        "Agents",
        "record_agent_events",
        "Tell what agents do now, and how long queues are",
        held.Recorded,
        AgentEventIn,
        many="AgentEvents",
        examples={"an agent takes a break": AGENT_EVENT, "how long the queue is": QUEUE_EVENT},
    ),
    "POST /v1/routing": Operation(
        "Agents",
        "advise_routing",
        "Rank agents for one who waits",
        people.Advice,
        RoutingIn,
        examples={
            "who waits in your own queue": {
                "waiting": {"conversation_id": "call-9", "channel": "phone", "skill": "billing", "language": "nl"}
            }
        },
    ),
    "GET /v1/handovers": Operation("Handovers", "list_handovers", "List handovers that are open", people.Handovers),
    "GET /v1/handovers/{handover_id}": Operation("Handovers", "get_handover", "Show a handover", people.HandoverAnswer),
    "GET /v1/handovers/{handover_id}/package": Operation(
        "Handovers", "get_package", "Show what the agent needs who has a handover", PackageAnswer
    ),
    "POST /v1/handovers/{handover_id}/steps": Operation(
        "Handovers",
        "step_handover",
        "Let a handover go on",
        people.HandoverAnswer,
        HandoverStepIn,
        examples={
            "an agent takes it": {"state": "accepted", "agent_id": "agent-7"},
            "it is resolved": {"state": "resolved"},
        },
    ),
    "POST /v1/handovers/{handover_id}/negotiation": Operation(
        "Handovers",
        "negotiate",
        "Ask for alternatives within what is left to give, or take one",
        people.NegotiationAnswer,
        NegotiationIn,
        examples={
            "what may be offered": {"request_id": "n-1"},
            "an agent takes one": {"request_id": "n-2", "take": "loyalty-discount"},
        },
    ),
    "GET /v1/call-backs/slots": Operation(
        "Handovers", "list_slots", "List the slots that a customer may take", people.FreeSlots
    ),
    "POST /v1/handovers/{handover_id}/appointment": Operation(
        "Handovers",
        "book_call_back",
        "Book the slot of a call-back",
        people.HandoverAnswer,
        AppointmentIn,
        examples={"a slot": {"calendar": "phone-desk", "starts_at": "2026-12-01T14:30:00+01:00"}},
    ),
    "POST /v1/handovers/{handover_id}/choice": Operation(
        "Handovers",
        "choose_after_waiting",
        "Record what a customer chose whom nobody helped in time",
        people.ChoiceAnswer,
        ChoiceIn,
        examples={"they want to be called back": {"choice": "call_back"}, "they wait on": {"choice": "wait"}},
    ),
    "POST /v1/handovers/{handover_id}/tries": Operation(
        "Handovers",
        "record_missed_call",
        "Record a call that the customer did not answer",
        people.CallTried,
        CallTriedIn,
        examples={"nobody answered": {"agent_id": "agent-7"}},
    ),
    "GET /v1/call-backs/without-agent": Operation(
        "Handovers", "list_call_backs_without_agent", "List call-backs that no agent has taken", people.CallBacks
    ),
    "GET /v1/actions": Operation("Catalogue", "list_actions", "List the actions that may be named", operating.Actions),
    "GET /v1/channels": Operation(
        "Catalogue", "list_channels", "List the channels, placements and purposes that may be named", operating.Channels
    ),
    "GET /v1/releases": Operation(
        "Catalogue", "list_releases", "List the releases that served, newest first", operating.Releases
    ),
    "POST /v1/releases": Operation(
        "Catalogue",
        "propose_release",
        "Check a catalogue, and propose it as a release",
        operating.CheckedRelease,
        ReleaseIn,
        examples={"a small catalogue, to check": {"files": {"catalogue/catalogue.yaml": CATALOGUE}}},
    ),
    "POST /v1/approvals": Operation(
        "Catalogue",
        "approve",
        "Approve what is proposed, as a second person",
        operating.Approved,
        ApprovalIn,
        examples={"a release": {"hash": "sha256:4e0fd343f1381b3b82e40a4b052cb675471d9b2b33e88d2c8c1965d18c40afec"}},
    ),
    "GET /readyz": Operation("Operations", "ready", "Tell whether decisions can be made now", operating.Ready),
    "GET /healthz": Operation("Operations", "alive", "Tell whether the process runs", operating.Alive),
    "GET /metrics": Operation(
        "Operations", "metrics", "Give the metrics for Prometheus", None, media="text/plain; version=1.0.0"
    ),
    "GET /v1/security-events": Operation(
        "Operations",
        "list_security_events",
        "List what was refused for want of a right",
        operating.SecurityEventsAnswer,
    ),
    "GET /v1/looks": Operation(
        "Operations", "list_looks", "List who looked at customers, when and why", operating.LooksAnswer
    ),
    "GET /problems/{name}": Operation(
        "Operations", "describe_problem", "Describe a type of problem document", operating.ProblemKind
    ),
}
"""Route -> what the document says of it. A test makes sure that every route of the document has a line."""
