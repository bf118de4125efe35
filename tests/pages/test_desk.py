"""The desk in a real browser: a whole conversation, a no that binds at once, a yes with its steps, and lost lines."""

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.pages.browser import SCHEMES, focus_order, lost_with_large_and_wide_text, overflow, violations
from tests.pages.desk_site import MARKUP, PASSWORD, DeskSite, at_desk, new_customer, served


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeskSite]:
    with served(tmp_path_factory.mktemp("desk")) as made:
        yield made


@pytest.fixture(scope="module")
def page(browser: Browser, site: DeskSite) -> Iterator[Page]:
    with at_desk(browser, site) as window:
        yield window


def suggestion(page: Page) -> Locator:
    return page.locator("[data-suggestion]")


def to_do(page: Page, name: str) -> Locator:
    return page.locator("[data-piece=do]").get_by_role("button", name=name)


@pytest.mark.promise("desk.conversation")
def test_a_conversation_is_taken_answered_undone_and_solved(page: Page, site: DeskSite) -> None:
    customer = new_customer()
    site.taken(page, customer)
    assert page.evaluate("document.documentElement.scrollHeight") <= 768, "nothing is below the first screen"
    assert page.locator("[data-piece=do] button:not(.second, .plain)").count() == 1, "one thing is to do"
    before = suggestion(page).inner_text()
    to_do(page, "Accepted").dblclick()
    expect(page.get_by_text("Recorded: Accepted. You can undo it")).to_be_visible()
    assert suggestion(page).is_hidden(), "the next suggestion waits a second"
    expect(suggestion(page)).to_be_visible()
    assert suggestion(page).inner_text() != before
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Undone. Nothing is learned from it.")).to_be_visible()
    assert suggestion(page).inner_text() == before
    to_do(page, "Maybe").click()
    page.get_by_role("button", name="The price").click()
    expect(page.locator("[data-piece=tried]")).to_contain_text("doubt: The price")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("[data-piece=tried]")).not_to_contain_text("The price")
    assert suggestion(page).inner_text() == before, "the maybe is undone with its doubt"
    to_do(page, "Later").click()
    page.get_by_role("button", name="Undo").click()
    assert suggestion(page).inner_text() == before
    to_do(page, "Maybe").click()
    page.get_by_role("button", name="The price").click()
    expect(page.locator("[data-piece=tried]")).to_contain_text("doubt: The price")
    page.get_by_label("Note for whoever").fill(f"{MARKUP} calls back")
    page.get_by_role("button", name="Keep the note").click()
    expect(page.get_by_text(f"{MARKUP} calls back")).to_be_visible()
    page.get_by_role("button", name="The question is solved").click()
    expect(page.get_by_text("Solved and closed.")).to_be_visible()
    acts = site.records("handover_note", customer)
    assert [act.get("did", "note") for act in acts] == [
        *("accepted", "undone", "maybe", "doubt", "undone", "undone", "later", "undone", "maybe", "doubt", "note"),
    ]
    assert {act["by"].partition(":")[0] for act in acts} == {"person"}
    first, *later = (body["outcome"] for body in site.records("outcome", customer))
    assert (first, {*later}) == ("accepted", {"retracted"})
    assert page.title() == "Desk - Central brain"


@pytest.mark.promise("desk.consent")
def test_a_no_empties_the_list_at_once_and_a_yes_needs_its_steps(page: Page, site: DeskSite) -> None:
    customer = new_customer()
    handover = site.taken(page, customer, channel="phone")
    expect(page.locator("[data-piece=next]")).to_contain_text("Suggest the television bundle")
    page.get_by_role("button", name="Withdraw : marketing").click()
    expect(page.locator("[data-piece=dont]")).to_contain_text("Suggest the television bundle")
    expect(page.locator("[data-piece=next]")).not_to_contain_text("Suggest the television bundle")
    page.get_by_role("button", name="Object : emotion").click()
    expect(page.locator("[data-piece=head]")).to_contain_text("Not shown: the customer asked so.")
    assert site.records("consent", customer)[-1]["status"] == "objected"
    page.get_by_role("button", name="Ask for newsletter").click()
    expect(page.locator(".desk-aloud")).to_contain_text("May we write to you about offers?")
    names = page.get_by_label("For which channel").locator("option").all_inner_texts()
    assert "email" in names
    assert "phone" not in names, "the company called the customer"
    page.get_by_label("For which channel").select_option("email")
    page.get_by_role("button", name="The customer says yes").click()
    assert site.records("consent", customer)[-1]["status"] == "objected", "the text was not read: nothing is sent"
    csrf = page.locator("input[name=csrf]").first.input_value()
    whole = {"csrf": csrf, "once": "o-1", "purpose": "newsletter", "channel": "email", "read": "2026-02", "said": "yes"}
    for name, wrong in (("read", ""), ("read", "2025"), ("channel", "*"), ("said", ""), ("channel", "phone")):
        assert posted(page, site, handover, "grant", **{**whole, name: wrong}) in (409, 422), name
    page.get_by_label("I read this text aloud").check()
    page.get_by_role("button", name="The customer says yes").click()
    expect(page.get_by_text("Recorded: yes.")).to_be_visible()
    expect(page.locator(".desk-done")).to_contain_text("you said yes in a conversation with us, for email.")
    expect(page.locator(".desk-done")).to_contain_text("This was read to you: “May we write to you about offers?")
    given = site.records("consent", customer)[-1]
    assert (given["status"], given["purpose"], given["channel"]) == ("granted", "newsletter", "email")
    assert (given["notice_version"], given["source"]) == ("2026-02", f"conversation:{handover}")
    assert given["who"].startswith("person:")


def posted(page: Page, site: DeskSite, handover: str, act: str, **fields: str) -> int:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": site.address}
    address = f"{site.address}/desk/{handover}/{act}"
    return page.request.post(address, data=urlencode(fields), headers=headers, max_redirects=0).status


@pytest.mark.promise("desk.conversation")
def test_something_else_is_done_with_a_reason(page: Page, site: DeskSite) -> None:
    customer = new_customer()
    site.taken(page, customer)
    page.get_by_text("I do something else").click()
    page.get_by_label("Note (if you want)").fill(f"{MARKUP} moves first")
    page.get_by_role("button", name="Wrong moment").click()
    expect(suggestion(page)).to_have_text("Suggest the television bundle")
    (override,) = site.records("override", customer)
    assert (override["verdict"], override["instead"], override["reason"]) == ("overridden", "tv-bundle", "wrong_moment")
    assert (override["who"].partition(":")[0], override["role"]) == ("person", "agent")
    assert override["note"] == f"{MARKUP} moves first"
    page.get_by_role("button", name="Undo").click()
    expect(suggestion(page)).not_to_have_text("Suggest the television bundle")
    _, undone = site.records("override", customer)
    assert (undone["undoes"], undone["override_id"]) == (override["override_id"], f"undo-{override['override_id']}")
    assert "note" not in undone
    page.locator("#why-not").fill("payment-plan")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator(".work-tools .notice")).to_have_text("Not offered: a rule of the company.")


@pytest.mark.long
@pytest.mark.promise("corrections.desk")
def test_what_was_heard_wrong_is_corrected_by_one_click_and_undone(page: Page, site: DeskSite) -> None:
    customer = new_customer()
    spoken = {"conversation_id": f"t-{customer}", "author": "customer", "text": "I want to speak to a person, TERRIBLE"}
    site.taken(page, customer, reason="a question")
    site.told("call", customer, **spoken)
    expect(page.locator(".desk-wants")).to_contain_text("asks for a person")
    expect(page.locator(".desk-mood")).to_contain_text("negative words")
    cues, suggested = page.locator(".desk-mood > span").inner_text(), suggestion(page).inner_text()
    assert page.evaluate("document.documentElement.scrollHeight") <= 768, "nothing is below the first screen"
    for click, kept in (("Not so: asks for a person", "asks for a person"), ("Not so: negative", "negative words")):
        page.get_by_role("button", name=click).click()
        expect(page.get_by_text("Recorded as you say.")).to_be_visible()
        expect(page.locator("[data-piece=head] > *:not(details)").filter(has_text=kept)).to_have_count(0)
        assert suggestion(page).inner_text() == suggested, "a correction changes no rule"
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Undone. Nothing is learned from it.")).to_be_visible()
    expect(page.locator(".desk-mood > span")).to_have_text(cues)
    wish, mood, undone = site.records("correction", customer)
    assert (wish["field"], wish["was"], wish["is"], wish["role"]) == ("wish", True, False, "agent")
    assert (mood["is"], undone["undoes"], undone["who"]) == ("neutral", mood["correction_id"], mood["who"])
    assert site.records("outcome", customer) == []


@pytest.mark.long
@pytest.mark.promise("desk.sales")
def test_a_sale_by_voice_has_its_steps_and_is_withdrawn(page: Page, site: DeskSite) -> None:
    customer = new_customer()
    handover = site.taken(page, customer, channel="phone")
    sold = page.locator("[data-piece=sold]")
    to_do(page, "Later").click()
    expect(suggestion(page)).to_have_text("Suggest the television bundle")
    offered = page.locator("[data-piece=do] [name=offer_id]").first.input_value()
    csrf, action = (page.locator(f"[data-piece=do] [name={name}]").first.input_value() for name in ("csrf", "action"))
    yes = {"csrf": csrf, "once": "s-1", "offer_id": offered, "action": action, "outcome": "accepted", "step": "agreed"}
    for act in ("outcome", "sell"):
        assert posted(page, site, handover, act, **yes) == 422, "nothing was said"
    page.get_by_role("link", name="Says yes").click()
    expect(page.get_by_text("The price after the discount, with all costs")).to_be_visible()
    assert (violations(page), overflow(page)) == ([], [])
    page.get_by_role("button", name="The customer agrees").click()
    assert site.records("sale", customer) == [], "nothing is sent without the ticks"
    for tick in page.locator(".desk-tick input").all():
        tick.check()
    page.get_by_role("button", name="The customer agrees").dblclick()
    expect(page.get_by_text("Recorded: agreed.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Undone. Nothing is learned from it.")).to_be_visible()
    expect(sold).to_have_count(0)
    page.get_by_role("link", name="Says yes").click()
    for tick in page.locator(".desk-tick input").all():
        tick.check()
    page.get_by_role("button", name="The customer agrees").click()
    other = page.context.new_page()
    other.goto(f"{site.address}/desk/{handover}?lang=en")
    sold.get_by_role("button", name="Confirmed").click()
    expect(page.get_by_text("Recorded: confirmed.")).to_be_visible()
    expect(other.locator("[data-piece=sold]")).to_contain_text("confirmed")
    other.close()
    again = {**yes, "once": "s-2", "step": "confirmed", "offer_id": site.records("sale", customer)[0]["offer_id"]}
    assert posted(page, site, handover, "sell", **again) == 303, "from a tab that was not up to date"
    expect(sold).to_contain_text("May be withdrawn until")
    sold.get_by_role("button", name="Withdraws").click()
    expect(page.get_by_text("Recorded: withdrawn. It counts as a no.")).to_be_visible()
    expect(sold).to_contain_text("withdrawn")
    kept = site.records("sale", customer)
    assert [one["step"] for one in kept] == ["agreed", "undone", "agreed", "confirmed", "withdrawn"]
    assert {one["who"].partition(":")[0] for one in kept} == {"person"}
    outcomes = [body["outcome"] for body in site.records("outcome", customer)]
    assert (outcomes[-1], outcomes.count("accepted")) == ("declined", 2)


@pytest.mark.promise("desk.reach")
def test_who_does_not_hold_a_conversation_sees_nothing_of_it(page: Page, site: DeskSite) -> None:
    customer = new_customer()
    handover = site.waiting(customer, reason=MARKUP)
    answer = page.goto(f"{site.address}/desk/{handover}")
    assert answer is not None
    assert answer.status == 403
    assert customer not in page.content()
    page.goto(f"{site.address}/desk?conversation=t-{customer}")
    assert customer not in page.locator("main").inner_text()
    page.get_by_role("button", name="Take").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(customer)
    expect(page.locator(".desk-wants")).to_contain_text(MARKUP)
    assert "run" not in page.title()


@pytest.mark.promise("desk.panel")
def test_a_listed_site_shows_the_desk_in_a_panel_and_no_other_site_does(
    browser: Browser, page: Page, site: DeskSite
) -> None:
    for origin, shows in ((site.listed, True), (site.unlisted, False)):
        other = page.context.new_page()
        other.goto(origin)
        panel = other.frames[1]
        if shows:
            expect(panel.get_by_role("heading", name="Waiting for a person")).to_be_visible()
            assert panel.evaluate("document.documentElement.scrollWidth") <= 320
        else:
            other.wait_for_timeout(300)
            assert panel.locator("h2").count() == 0
        other.close()
    stranger = browser.new_page()
    stranger.goto(site.listed)
    expect(stranger.frames[1].get_by_role("link", name="Sign in")).to_be_visible()
    stranger.close()


@pytest.mark.promise("desk.stale")
def test_a_click_without_a_connection_is_kept_and_sent_once_it_is_back(page: Page, site: DeskSite) -> None:
    customer = new_customer()
    site.taken(page, customer)
    expect(page.locator("html")).to_have_attribute("data-connection", "live")
    page.get_by_label("Note for whoever").fill("she moves")
    page.context.set_offline(True)
    expect(page.locator("[data-connection-lost]")).to_be_visible()
    to_do(page, "Maybe").click()
    expect(page.get_by_text("Your click is kept.")).to_be_visible()
    to_do(page, "Accepted").click()
    site.told("page-view", customer, page="help")
    page.context.set_offline(False)
    expect(page.get_by_text("Recorded: Maybe.")).to_be_visible()
    assert [act["did"] for act in site.records("handover_note", customer)] == ["maybe"]
    expect(page.get_by_label("Note for whoever")).to_have_value("she moves")
    expect(page.locator("[data-piece=did]")).to_contain_text("page view")


@pytest.mark.promise("desk.keys")
def test_all_of_it_is_done_by_keyboard_alone(page: Page, site: DeskSite) -> None:
    customer = new_customer()
    site.taken(page, customer)
    page.keyboard.type("gn")
    page.keyboard.type("gd by keyboard")
    assert page.get_by_label("Note for whoever").input_value() == "gd by keyboard", "no key acts while somebody types"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Your note is kept")).to_be_visible()
    page.keyboard.type("g?")
    page.get_by_label("Maybe", exact=True).fill("x")
    page.keyboard.press("Escape")
    page.reload()
    page.keyboard.type("gx")
    expect(page.get_by_text("Recorded: Maybe.")).to_be_visible()
    page.keyboard.type("gu")
    expect(page.get_by_text("Undone.")).to_be_visible()
    page.reload()
    assert {f"button {name}" for name in ("Accepted", "Maybe", "Declined", "Later")} <= set(focus_order(page))
    page.evaluate("localStorage.clear()")


@pytest.mark.promise("desk.news")
def test_news_is_told_politely_and_moves_nothing_under_a_finger(page: Page, site: DeskSite) -> None:
    customer = new_customer()
    site.taken(page, customer)
    expect(page.locator("html")).to_have_attribute("data-connection", "live")
    page.locator("[data-piece=did]").hover()
    site.told("page-view", customer, page="paid-tv")
    expect(page.get_by_role("button", name="There is news. Show it")).to_be_visible()
    assert "page view" not in page.locator("[data-piece=did]").inner_text()
    page.get_by_role("button", name="There is news. Show it").click()
    expect(page.locator("[data-piece=did]")).to_contain_text("page view")


@pytest.mark.promise("desk.presence")
def test_an_agent_says_whether_they_are_there_and_answers_offers(page: Page, site: DeskSite) -> None:
    mine = new_customer()
    held = site.taken(page, mine)
    agent = site.asked("GET", f"/v1/handovers/{held}")["agent_id"]
    stated = {"languages": ["en"], "capacity": {"chat": 50, "phone": 50}}
    site.asked("PUT", f"/v1/agents/{agent}", stated)
    page.goto(f"{site.address}/desk")
    page.get_by_role("button", name="Break").click()
    assert site.asked("GET", f"/v1/agents/{agent}")["state"] == "break"
    page.get_by_role("button", name="Available").click()
    accepted, declined = new_customer(), new_customer()
    for customer in (accepted, declined):
        offered = {"state": "offered", "agent_id": agent, "due_at": "2030-01-01T00:00:00Z"}
        site.asked("POST", f"/v1/handovers/{site.waiting(customer)}/steps", offered)
    page.reload()
    page.get_by_role("button", name=f"Decline : {declined}").click()
    expect(page.get_by_role("button", name=f"Take : {declined}")).to_be_visible()
    page.get_by_role("button", name=f"Accept : {accepted}").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(accepted)
    page.get_by_text("Call back later").click()
    page.get_by_role("button", name="Free times of calls").click()
    page.locator("button[name=starts_at]").first.click()
    expect(page.get_by_text("Booked.")).to_be_visible()
    assert site.asked("GET", "/v1/handovers?state=call_back")["handovers"][0]["customer_id"] == accepted


def test_the_first_screen_is_accessible(page: Page, site: DeskSite) -> None:
    site.taken(page, new_customer())
    assert (violations(page), overflow(page)) == ([], [])


@pytest.mark.long
def test_every_state_is_accessible_in_both_languages_and_schemes_and_narrow(browser: Browser, site: DeskSite) -> None:
    for scheme in SCHEMES:
        for lang in ("nl", "en"):
            viewport = {"width": 320, "height": 768}
            with at_desk(browser, site, color_scheme=scheme, viewport=viewport) as page:
                customer = new_customer()
                handover = site.taken(page, customer, reason="ع" * 40 + MARKUP)
                site.told(
                    "call", customer, conversation_id=f"t-{customer}", author="customer", text=f"TERRIBLE {MARKUP}"
                )
                page.reload()
                expect(page.locator("details.desk-correct")).to_be_visible()
                contacts = site.records("decision", customer)[-1]["contacts"]
                bundle = next(one["offer_id"] for one in contacts if one["action"] == "tv-bundle")
                for query in (
                    "",
                    f"&sale={bundle}",
                    "&why_not=tv-bundle",
                    "&slots=calls",
                    "&consent=newsletter",
                    "&done=kept&what=maybe",
                ):
                    page.goto(f"{site.address}/desk/{handover}?lang={lang}{query}")
                    for details in page.locator("details").all():
                        details.evaluate("element => { element.open = true }")
                    assert (violations(page), overflow(page)) == ([], []), (scheme, lang, query)
                page.goto(f"{site.address}/desk?lang={lang}")
                assert (violations(page), overflow(page)) == ([], []), (scheme, lang)


@pytest.mark.long
@pytest.mark.parametrize("lang", ["nl", "en"])
@pytest.mark.parametrize("width", [640, 1366])
def test_large_and_wide_text_loses_nothing(browser: Browser, site: DeskSite, lang: str, width: int) -> None:
    with at_desk(browser, site, viewport={"width": width, "height": 768}) as page:
        handover = site.taken(page, new_customer())
        for path in (f"/desk/{handover}", f"/desk/{handover}?why_not=tv-bundle&slots=calls", "/desk"):
            page.goto(f"{site.address}{path}{'&' if '?' in path else '?'}lang={lang}")
            page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
            assert lost_with_large_and_wide_text(page) == [], path


@pytest.mark.long
def test_the_desk_works_without_a_script(browser: Browser, site: DeskSite) -> None:
    customer = new_customer()
    with at_desk(browser, site, java_script_enabled=False) as page:
        site.taken(page, customer)
        to_do(page, "Later").click()
        expect(page.get_by_text("Recorded: Later.")).to_be_visible()
    assert PASSWORD not in str(site.records("handover_note", customer))
