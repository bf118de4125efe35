"""The lead's view in a real browser: who waits, whom to offer it to, what customers asked, and what is paused."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from decisioning.times import DAY_US, iso
from features.ledger import now_us
from serving.pages.report.kept import NAME, keep_report
from tests.pages.browser import SCHEMES, focus_order, lost_with_large_and_wide_text, overflow, violations
from tests.pages.lead_site import LeadSite, lead_site
from tests.pages.sections import whole, with_value
from training.evaluation.localized import fields, localized
from training.reporting.suggestions import _proposal

HOSTILE = "<img src=x onerror=\"document.title='ran'\"> \u202e" + "x" * 150


RISE = {"kind": "complaint", "name": "tv-bundle", "now": 12, "before": 28, "usual": 1.25, "chance": 0.001}
ROWS = [{"action": "tv-bundle", "automation": "suggest"}]
REPORT = with_value(
    whole(
        {
            "at": iso(now_us()),
            "rises": [RISE],
            **fields("rises_said", localized("rises-looked", days=28, n=40, chance=0.01)),
            **fields("widen_said", _proposal(ROWS, None)),
            **fields("arms_said", localized("arms-moved", n=3)),
        }
    )
)
"""The newest report: its figures are compared with a control group, and something rose."""
DUTCH = (
    "Het brein bracht <strong>€\u00a04.800</strong> meer op dan zonder, tussen €\u00a03.400 en €\u00a06.200",
    "Voor 3 is later in een andere groep besloten",
    "12 klanten klaagden over <code>tv-bundle</code> in het laatste uur; gewoon zijn er rond deze tijd 1,2.",
    "met een kans van hoogstens 1%",
    "Nog geen actie kan verder worden geautomatiseerd: daarvoor zijn 100 klanten nodig",
    'aria-label="Euro&#39;s per klant, het brein en de controlegroep"',
    "De cijfers van deze grafiek",
    "30 november 2026",
    ">controlegroep<",
)
ENGLISH = ("The ", " the ", "customer", "nobody", "figures", "control group", "between")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LeadSite]:
    with lead_site(tmp_path_factory.mktemp("lead")) as site:
        yield site


@pytest.mark.promise("lead.view")
def test_a_lead_offers_a_conversation_takes_one_over_answers_a_request_and_pauses(
    browser: Browser, site: LeadSite
) -> None:
    upset, held = site.waits("c-upset", upset=True, reason=HOSTILE), site.waits("c-held")
    site.stepped(held, "accepted", agent_id="bo")
    number = site.contests("c-asks", site.known("c-asks")[0], HOSTILE)
    with site.signed_in(browser) as page:
        first = page.locator(".lead-needs li").first
        expect(first).to_contain_text("upset")
        expect(first).to_contain_text("<img src=x")
        assert (violations(page), overflow(page), page.title()) == ([], [], "The team now - Central brain")
        first.get_by_label("Agent for c-upset").focus()  # as a person does: what is focused is not replaced
        first.get_by_label("Agent for c-upset").select_option("ana")
        first.get_by_role("button", name=named("Offer", "c-upset")).click()
        expect(page.get_by_role("status")).to_have_text("The conversation is offered to the agent whom you chose.")
        assert (site.shown(upset)["state"], site.shown(upset)["agent_id"]) == ("offered", "ana")
        page.locator("#action").select_option("tv-bundle")
        page.get_by_role("button", name="Pause").click()
        expect(page.get_by_text("Paused now: tv-bundle")).to_be_visible()
        expect(page.get_by_text("brain pause tv-bundle --resume")).to_be_visible()
        page.get_by_role("button", name=named("I look at it", number)).click()
        expect(page.get_by_text("you look at it", exact=False).last).to_be_visible()
        page.get_by_label("Your answer; the customer reads it").fill("You are right.")
        page.get_by_label("changes: your answer says").check()
        page.get_by_label("keep this from the customer").select_option(index=1)
        page.get_by_label("If it changes, why").fill(HOSTILE)
        page.get_by_role("button", name="Send the answer").click()
        expect(page.get_by_text("No question of a customer waits for an answer.")).to_be_visible()
        (told,) = site.asked("GET", "/v1/requests?state=answered")["requests"]
        assert (told["number"], told["answer"], told["changed"]) == (number, "You are right.", True)
        assert (told["excluded"] is not None, told["reason"]) == (True, HOSTILE.strip())
        page.get_by_role("link", name="c-held").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("You do not hold this conversation")
        page.get_by_role("button", name="Take it over").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("c-held")
        assert site.shown(held)["agent_id"] == told_who(site)
        page.goto(f"{site.address}/lead")
        row = page.locator(".desk-list li", has_text="c-held")
        expect(row).to_contain_text("with jo")
        assert "person:" not in page.locator("main").inner_text()
    assert f"with {told_who(site)}" in site.read("/lead/now"), "a key sees no names"


def named(verb: str, whom: str) -> re.Pattern[str]:
    """Return the name of a button; the browser puts a space before what only those hear who do not see the page."""
    return re.compile(f"^{verb} ?: {re.escape(whom)}$")


def told_who(site: LeadSite) -> str:
    (told,) = site.asked("GET", "/v1/requests?state=answered")["requests"]
    return f"person:{told['reviewer']}"


@pytest.mark.promise("lead.view")
@pytest.mark.long
@pytest.mark.parametrize("lang", ["en", "nl"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_state_is_accessible_and_fits_320_px(browser: Browser, site: LeadSite, lang: str, scheme: str) -> None:
    name = f"{lang}-{scheme}"
    keep_report(site.client.brain.workspace, REPORT)
    site.waits(f"c-{'e' * 40}-{name}", reason=HOSTILE, upset=True)
    site.contests(f"c-{name}", site.known(f"c-{name}")[0], HOSTILE)
    with site.signed_in(browser, viewport={"width": 320, "height": 768}, color_scheme=scheme) as page:
        page.goto(f"{site.address}/lead?lang={lang}")
        page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
        assert (violations(page), overflow(page)) == ([], [])
        assert page.locator(".lead-figures svg:visible").count() == 1
        assert page.locator("html").get_attribute("lang") == lang
        assert page.locator("h2").first.inner_text().startswith({"en": "Needs", "nl": "Heeft"}[lang])
        page.set_viewport_size({"width": 640, "height": 768})
        assert lost_with_large_and_wide_text(page) == []
        page.goto(f"{site.address}/lead")
        assert page.locator("html").get_attribute("lang") == lang, "the language is kept"


@pytest.mark.promise("lead.view")
def test_what_lapsed_comes_first_and_what_has_time_last(site: LeadSite) -> None:
    late, owned, upset = site.waits("c-late"), site.waits("c-owned"), site.waits("c-cross", upset=True)
    site.stepped(late, "offered", agent_id="cy-2", due_at=iso(now_us() - 1_000_000))
    site.stepped(owned, "ticket", agent_id="lead", due_at=iso(now_us() + DAY_US))
    needs = site.read("/lead/now").partition("<h3>")[0]
    places = [needs.index(f"/desk/{one}") for one in (late, upset, owned)]
    assert places == sorted(places)
    assert "not answered in time" in needs
    assert "waits for a written answer" in needs
    for one in (late, upset, owned):
        site.stepped(one, "resolved")


@pytest.mark.promise("lead.one-click")
def test_what_lapsed_is_red_and_a_call_back_a_pause_and_who_waits_longest_are_one_click(
    browser: Browser, site: LeadSite
) -> None:
    site.complains("c-annoyed", "fix-router")
    lapsed, alone, long = site.waits("c-lapsed"), site.waits("c-calls"), site.waits("c-longest")
    site.stepped(lapsed, "offered", agent_id="cy-2", due_at=iso(now_us() - 1_000_000))
    site.stepped(alone, "call_back", due_at=iso(now_us() + 120_000_000))
    with site.signed_in(browser) as page:
        first = page.locator(".lead-needs > li.harm").filter(has_text="c-lapsed")
        expect(first).to_contain_text("not answered in time")
        assert "rgb" in first.evaluate("e => getComputedStyle(e).borderLeftColor")
        page.get_by_role("button", name=named("Pause", "fix-router")).click()
        expect(page.get_by_role("status")).to_have_text("The action is paused.")
        expect(page.get_by_role("button", name=named("Pause", "fix-router"))).to_have_count(0)
        assert "fix-router" in site.client.brain.ledger.paused()
        call = page.locator(".lead-needs > li.warn").filter(has_text="c-calls")
        expect(call).to_contain_text("call-back without an agent")
        call.get_by_role("button", name=named("Call back", "c-calls")).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("c-calls")
        assert site.shown(alone)["state"] == "accepted"
        page.goto(f"{site.address}/lead")
        waiting = [one for one in site.asked("GET", "/v1/handovers")["handovers"] if one["state"] == "opened"]
        longest = min(waiting, key=lambda one: one["waits_since"])["handover_id"]
        page.locator("ol.lead-list a").first.click()
        assert page.url.endswith(f"/desk/{longest}")
    for one in (lapsed, alone, long):
        site.stepped(one, "resolved")


@pytest.mark.long
@pytest.mark.promise("lead.two")
def test_two_leads_at_once_undo_nothing_of_each_other(browser: Browser, site: LeadSite) -> None:
    chat, other = site.waits("c-both", upset=True), site.waits("c-second", upset=True)
    number = site.contests("c-review", site.known("c-review")[0])
    with site.signed_in(browser) as jo, site.signed_in(browser, "mo") as mo:
        for page, agent in ((jo, "ana"), (mo, "bo")):  # both see it wait; jo comes first
            page.get_by_label("Agent for c-both").focus()
            page.get_by_label("Agent for c-both").select_option(agent)
        jo.get_by_role("button", name=named("Offer", "c-both")).click()
        expect(jo.get_by_role("status")).to_contain_text("is offered to the agent")
        mo.get_by_role("button", name=named("Offer", "c-both")).click()
        expect(mo.get_by_role("status")).to_contain_text("Somebody else let this conversation go on meanwhile")
        assert site.shown(chat)["agent_id"] == "ana"
        for page in (jo, mo):
            page.goto(f"{site.address}/lead")
            page.get_by_role("button", name=named("I look at it", number)).focus()
        jo.get_by_role("button", name=named("I look at it", number)).click()
        expect(jo.get_by_text("you look at it", exact=False).last).to_be_visible()
        mo.goto(f"{site.address}/lead")
        expect(mo.get_by_text("jo looks at it")).to_be_visible()
        for page in (jo, mo):
            page.locator("#action").select_option("welcome-tour")
            page.get_by_role("button", name="Pause", exact=True).click()
            expect(page.get_by_role("status")).to_have_text("The action is paused.")
        mo.get_by_label("Agent for c-second").focus()
        mo.get_by_label("Agent for c-second").select_option("bo")
        mo.get_by_role("button", name=named("Offer", "c-second")).click()
        expect(mo.get_by_role("status")).to_contain_text("is offered to the agent")
        assert site.shown(other)["agent_id"] == "bo"
    for one in (chat, other):
        site.stepped(one, "resolved")


@pytest.mark.long
def test_news_is_taken_up_by_itself_and_not_under_a_focus(browser: Browser, site: LeadSite) -> None:
    site.waits("c-before", upset=True)
    with site.signed_in(browser) as page:
        expect(page.locator("html")).to_have_attribute("data-connection", "live")
        site.waits("c-new", upset=True)
        expect(page.get_by_role("link", name="c-new")).to_be_visible()
        page.get_by_label("Agent for c-new").focus()
        site.waits("c-newer", upset=True)
        expect(page.get_by_role("button", name="There is news. Show it")).to_be_visible()
        expect(page.get_by_role("link", name="c-newer")).to_have_count(0)
        expect(page.get_by_label("Agent for c-new")).to_be_focused()
        page.get_by_role("button", name="There is news. Show it").click()
        expect(page.get_by_role("link", name="c-newer")).to_be_visible()


@pytest.mark.long
def test_everything_on_the_page_is_reached_by_keyboard(browser: Browser, site: LeadSite) -> None:
    site.waits("c-keys", upset=True)
    with site.signed_in(browser) as page:
        reached = focus_order(page)
        assert any(one.startswith("button Offer") and one.endswith("c-keys") for one in reached)
        assert "button Pause" in reached


@pytest.mark.promise("lead.view")
def test_who_had_a_part_in_a_decision_does_not_answer_its_contest(browser: Browser, site: LeadSite) -> None:
    decision, action = site.known("c-part")
    number = site.contests("c-part", decision)
    with site.signed_in(browser) as page:
        card = page.locator(f"#request-{number}")
        expect(card.get_by_role("button", name=named("I look at it", number))).to_be_visible()
        site.overrides(page, decision, action, HOSTILE)
        page.reload()
        expect(card).to_contain_text("You had a part in this decision.")
        expect(card.get_by_role("button")).to_have_count(0)
        expect(page.get_by_text(f"{action}: once: does not suit them")).to_be_visible()
        assert page.title() == "The team now - Central brain", "no script of a note ran"


@pytest.mark.long
@pytest.mark.promise("looks.stated")
def test_who_does_not_hold_a_conversation_sees_it_for_a_stated_reason_that_the_lead_sees(
    browser: Browser, site: LeadSite
) -> None:
    handover = site.waits("c-looked")
    site.stepped(handover, "accepted", agent_id="bo")
    with site.signed_in(browser, "al", f"/desk/{handover}", viewport={"width": 320, "height": 768}) as page:
        expect(page.get_by_role("heading", level=1)).to_have_text("You do not hold this conversation")
        assert "c-looked" not in page.content()
        assert (violations(page), overflow(page)) == ([], [])
        page.get_by_label("Reason", exact=True).select_option("complaint")
        page.get_by_role("button", name="See the customer").click()
        expect(page.get_by_text("type the number of the case")).to_be_visible()
        page.goto(f"{site.address}/desk/{handover}")
        page.get_by_label("Reason", exact=True).select_option("complaint")
        page.get_by_label("Number of the case").fill("471")
        page.get_by_role("button", name="See the customer").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("c-looked")
        expect(page.get_by_text("You look for: complaint 471.")).to_be_visible()
        assert (page.locator("main form[method=post]").count(), violations(page), overflow(page)) == (0, [], [])
    looks = site.asked("GET", "/v1/looks?customer_id=c-looked")["looks"]
    assert [(one["what"], one["purpose"], one["case"]) for one in looks if one["role"] == "agent"] == [
        ("handover", "complaint", "471")
    ]
    with site.signed_in(browser) as page:
        expect(page.get_by_text("complaint 471,")).to_be_visible()


@pytest.mark.promise("lead.figures")
def test_the_figures_of_the_newest_report_are_shown_with_their_age(site: LeadSite) -> None:
    workspace = site.client.brain.workspace
    (workspace.data / NAME).unlink(missing_ok=True)
    assert "No report was made yet." in site.read("/lead")
    keep_report(workspace, whole({"at": iso(now_us() - 7_200_000_000)}))
    shown = site.read("/lead")
    assert "2 hours ago" in shown
    assert "These figures are old." not in shown
    keep_report(workspace, whole({"at": iso(now_us() - 3 * DAY_US), "widen_said": "`tv-bundle` could go."}))
    shown = site.read("/lead")
    assert "3 days ago" in shown
    assert "These figures are old." in shown
    assert "<code>tv-bundle</code> could go." in shown
    keep_report(workspace, REPORT)
    shown = site.read("/lead", "nl")
    for text in DUTCH:
        assert text in shown
    assert not [text for text in ENGLISH if text in re.sub("<[^>]*>", "", shown.partition("lead-figures")[2])]
    (workspace.data / NAME).write_text("{")
    assert "No report was made yet." in site.read("/lead"), "a damaged file is no report"
    (workspace.data / NAME).unlink()
