"""Consent and rights: one test for each promise, over generated customers where that is possible."""

from dataclasses import replace

import pytest
from fastapi import Request
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.errors import RequestError
from decisioning.facts.forms import Ask, Known
from decisioning.facts.standing import Standing
from serving.contract import ConsentIn
from serving.http.routes import _as_sent
from tests import strategies as world
from tests.promises.larger_world import (
    EXAMPLES,
    RELEASE,
    ask_on,
    asks,
    check_errors,
    consent,
    customers,
    needing,
    permitted,
    screening,
    willing,
    with_consents,
    with_more,
)

PURPOSES = sorted(RELEASE.purposes)
GRANT = {"customer_id": "c", "purpose": "marketing", "status": "granted", "source": "site", "notice_version": "2026-01"}


@pytest.mark.promise("consent.no-record-no-action")
@settings(max_examples=EXAMPLES, deadline=None)
@given(asks(), customers())
def test_without_a_record_nothing_that_needs_one_passes(ask: Ask, customer: Known) -> None:
    nobody = replace(customer, person=Standing("person"))
    screened = screening(ask, nobody)
    for i, name in enumerate(screened.view.ids):
        if screened.permitted[i]:
            assert all(cited.startswith("basis:") for cited in screened.cites(i).values()), name
    assert not needing("sharing", permitted(ask, nobody)), "no basis of the catalogue is about sharing"


@pytest.mark.promise("consent.no-purpose-implies-another")
@settings(max_examples=EXAMPLES, deadline=None)
@given(asks(), customers(), st.sampled_from(PURPOSES))
def test_no_purpose_implies_another(ask: Ask, customer: Known, purpose: str) -> None:
    everything_else = with_consents(willing(**customer.facts), purposes=[purpose])
    by_consent = [consent(purpose, "refused")]
    assert not needing(purpose, permitted(ask, with_consents(everything_else, *by_consent)))
    score = world.CountingScorer()
    world.run(ask, with_consents(willing(), consent("profiling", "refused")), RELEASE, score=score)
    assert score.scored == [], "marketing is not profiling"


@pytest.mark.promise("consent.no-purpose-implies-another")
def test_marketing_does_not_permit_the_use_of_emotion() -> None:
    furious = willing(sentiment=-0.9)
    assert world.run(ask_on("web"), furious, RELEASE).answer["handover"]
    refusing = with_consents(furious, consent("emotion", "objected"))
    assert world.run(ask_on("web"), refusing, RELEASE).answer["handover"] is None
    assert "no purpose `emotion` is declared" in refused_without_emotion()


def refused_without_emotion() -> str:
    from decisioning.catalogue.files import load
    from decisioning.errors import ConfigError

    small = {n: "\n".join(x for x in t.splitlines() if "id: emotion" not in x) for n, t in world.SMALL_FILES.items()}
    small["settings.yaml"] = small["settings.yaml"].replace("purpose: emotion", "purpose: service")
    with pytest.raises(ConfigError) as caught:
        load(small)
    return str(caught.value)


@pytest.mark.promise("consent.lapsed-denies")
@settings(max_examples=EXAMPLES, deadline=None)
@given(
    asks(),
    st.sampled_from(["marketing", "sharing"]),
    st.sampled_from(
        [
            {"expires_us": world.NOW_US},
            {"days_ago": 731, "purpose": "marketing"},
            {"notice_version": "2025-12"},
            {"notice_version": ""},
            {"days_ago": -1},
            {"status": "withdrawn"},
        ]
    ),
)
def test_expired_superseded_or_for_another_notice_denies(ask: Ask, purpose: str, lapsed: dict[str, object]) -> None:
    fields = {"purpose": purpose, **lapsed}
    customer = with_consents(willing(opt_out_offered=False), consent(**fields))  # type: ignore[arg-type]
    assert not needing(str(fields["purpose"]), permitted(ask, customer))


@pytest.mark.promise("consent.objection")
@settings(max_examples=EXAMPLES, deadline=None)
@given(asks(), customers(), st.sampled_from(["*", None]), st.floats(0, 900))
def test_after_an_objection_no_marketing_and_no_score_of_it(
    ask: Ask, customer: Known, channel: str | None, days_ago: float
) -> None:
    newest = min((c.occurred_us for c in customer.person.consents), default=0)
    objecting = with_consents(
        customer, consent("marketing", "objected", channel or ask.channel, days_ago), purposes=["marketing"]
    )
    score = world.CountingScorer()
    decision = world.run(ask, objecting, RELEASE, score=score)
    assert not needing("marketing", permitted(ask, objecting)), newest
    assert not any(RELEASE.candidates[c][0].commercial for c in score.scored)
    assert not any(RELEASE.candidates[c][0].commercial for c in decision.record["scores"]["candidates"])


@pytest.mark.promise("consent.signals-only-restrict")
@settings(max_examples=EXAMPLES, deadline=None)
@given(asks(), customers(), st.dictionaries(st.sampled_from(PURPOSES), st.booleans()), st.booleans())
def test_a_signal_of_the_request_only_restricts_and_the_stricter_wins(
    ask: Ask, customer: Known, reported: dict[str, bool], gpc: bool
) -> None:
    reporting = ask.model_copy(update={"consent_platform": reported})
    with_gpc, without_gpc = (replace(customer, facts={**customer.facts, "gpc": value}) for value in (gpc, False))
    remaining = permitted(reporting, with_gpc)
    assert remaining <= permitted(ask, without_gpc)
    denied = {p for p, allowed in reported.items() if not allowed} | ({"profiling", "sharing"} if gpc else set())
    assert not set().union(*(needing(p, remaining) for p in denied))
    score = world.CountingScorer()
    world.run(reporting, with_gpc, RELEASE, score=score)
    assert "profiling" not in denied or score.scored == []
    unknown = ask.model_copy(update={"consent_platform": {"marketting": False}})
    with pytest.raises(RequestError, match="no such purpose"):
        permitted(unknown, customer)
    assert "does not withdraw profiling" in refused_gpc()


@pytest.mark.promise("consent.signals-only-restrict")
def test_the_browsers_header_is_a_global_privacy_control_that_no_context_undoes() -> None:
    def gpc_of(value: bytes, gpc: bool | None) -> object:
        context = {} if gpc is None else {"gpc": gpc}
        request = Request({"type": "http", "headers": [(b"sec-gpc", value)]})
        return _as_sent(ask_on("web", context=context), request).context.get("gpc")

    assert [gpc_of(b"1", None), gpc_of(b"1", False), gpc_of(b"1", True)] == [True, True, True]
    assert [gpc_of(b"0", None), gpc_of(b"0", True)] == [None, True]


@pytest.mark.promise("consent.signals-only-restrict")
def test_the_record_of_a_consent_platform_is_kept_as_the_source() -> None:
    source = {"kind": "tcf", "record": "CPokAsAPokAsABEACBENC7CgAP_AAE_AAAYgIAAB"}
    body = ConsentIn.model_validate({**GRANT, "source": source}).body()
    assert (body["source"], body["source_record"]) == ("tcf", source["record"])
    with pytest.raises(ValueError, match="record"):
        ConsentIn.model_validate({**GRANT, "source": {"kind": "tcf", "record": "not one token"}})


def refused_gpc() -> str:
    from decisioning.errors import ConfigError

    with pytest.raises(ConfigError) as caught:
        with_more(gpc="[sharing]")
    return str(caught.value)


@pytest.mark.promise("consent.phone-and-mail")
@settings(max_examples=EXAMPLES, deadline=None)
@given(customers(), st.sampled_from(["nl", "eu"]), st.sampled_from([None, True, False]), st.sampled_from([None, 0, 30]))
def test_phone_sales_need_explicit_consent_and_mail_consent_or_a_soft_opt_in(
    customer: Known, country: str, offered: bool | None, tenure: int | None
) -> None:
    release = with_more(country_rules=country)
    customer = replace(
        willing(**customer.facts), facts={**willing().facts, "opt_out_offered": offered, "tenure_months": tenure}
    )
    call, news = ask_on("call"), ask_on("news")
    for general in (with_consents(customer, purposes=["marketing"]), with_consents(customer, consent("marketing"))):
        assert not needing("marketing", permitted(call, general, release))
    assert needing("marketing", permitted(call, with_consents(customer, consent("marketing", channel="call")), release))
    assert needing("marketing", permitted(news, with_consents(customer, consent("marketing")), release))
    softly = permitted(news, with_consents(customer, purposes=["marketing"]), release)
    valid = offered is True and tenure == 30
    assert needing("marketing", softly) == ({"match-pass.news"} if valid else set()), "similar products only"
    for status in ("refused", "withdrawn", "objected"):
        assert not needing("marketing", permitted(news, with_consents(customer, consent("marketing", status)), release))


@pytest.mark.promise("consent.phone-and-mail")
def test_a_catalogue_that_goes_to_people_names_its_country() -> None:
    treatment = "treatments: [{id: x, channel: letters, placements: [x], content_ref: a}]"
    sale = f"{{id: new, issue: grow, group: tv, tier: commercial, value: 1, {treatment}}}"
    letters = f"channels: [{{id: letters, direction: outbound, placements: [x]}}]\nactions: [{sale}]"
    assert "states no medium" in check_errors(letters)


@pytest.mark.promise("consent.cited")
@settings(max_examples=EXAMPLES, deadline=None)
@given(asks(), customers())
def test_every_permitted_candidate_cites_the_record_that_permitted_it(ask: Ask, customer: Known) -> None:
    screened = screening(ask, customer)
    grounds = {f"basis:{b.id}" for b in RELEASE.catalogue.bases}
    grounds |= {
        f"consent:{c.purpose}/{c.channel}@{c.record}" for c in customer.person.consents if c.status == "granted"
    }
    for i in screened.permitted.nonzero()[0]:
        needed = {*screened.view.actions[i].required_purposes, *screened.view.channel.purposes}
        cited = screened.cites(int(i))
        assert cited.keys() == needed
        assert needed
        assert set(cited.values()) <= grounds
    recorded_grounds = world.run(ask, customer, RELEASE).record["permissions"]
    assert set(recorded_grounds.values()) <= grounds


@pytest.mark.promise("consent.withdrawing-is-as-easy")
def test_withdrawing_takes_no_more_fields_than_giving() -> None:
    granted = ConsentIn.model_validate(GRANT)
    for status in ("refused", "withdrawn", "objected"):
        fields = {k: v for k, v in GRANT.items() if k != "notice_version"} | {"status": status}
        assert ConsentIn.model_validate(fields).body().keys() == granted.body().keys()
    with pytest.raises(ValueError, match="notice_version"):
        ConsentIn.model_validate({k: v for k, v in GRANT.items() if k != "notice_version"})
