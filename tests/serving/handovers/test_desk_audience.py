"""What the desk shows is written for agents: no figure and no reason that is the company's."""

from pathlib import Path

import pytest

from serving.brain.runtime import Brain
from tests.serving.workspaces import Client, consent, signal, small_workspace, welcome

SILENT = ("Do not sell anything now.", "Verkoop nu niets.")
COMPANYS = ("multiplies its priority", "Expected value", "vermenigvuldigt de prioriteit", "Verwachte waarde")


@pytest.mark.promise("audiences.desk")
@pytest.mark.promise("desk.silence")
def test_the_desk_shows_nothing_that_is_for_the_company(tmp_path: Path) -> None:
    brain = Brain(small_workspace(tmp_path / "shop"))
    client = Client(brain)
    welcome(client, "c-1")
    about = {"request_id": "r-1", "customer_id": "c-1", "conversation_id": "chat-1", "channel": "chat"}
    handover = client("POST", "/v1/handovers", {**about, "reason": "asks for a person"})[1]["handover_id"]
    agent = client.of_scope("agent")
    assert agent.raw("POST", f"/desk/{handover}/take", b"", content_type="application/x-www-form-urlencoded")[0] == 303
    for lang in ("en", "nl"):
        status, _, shown = agent.raw("GET", f"/desk/{handover}?lang={lang}")
        assert status == 200
        page = shown.decode()
        assert "Suggest the television bundle" in page or "Stel de tv-bundel voor" in page
        assert not [words for words in COMPANYS if words in page]
        assert SILENT[0] not in page
        assert SILENT[1] not in page
    furious = signal("message", "customer:c-1", text="This is TERRIBLE, I am furious, the worst service ever")
    assert client("POST", "/v1/signals", furious)[1].get("accepted") == 1
    angry = {lang: agent.raw("GET", f"/desk/{handover}?lang={lang}")[2].decode() for lang in ("en", "nl")}
    assert [words in page for words, page in zip(SILENT, angry.values(), strict=True)] == [True, True]
    assert client("POST", "/v1/consents", consent("c-1", "emotion", "objected"))[0] == 200
    assert SILENT[0] not in agent.raw("GET", f"/desk/{handover}?lang=en")[2].decode(), "their mood may not be read"
    brain.close()


PURPOSE = """
purposes: [{id: insight, notice_version: "2026-01"}]
signals: [{id: game, retention_days: 30, purpose: insight, fields: [{name: level, dtype: int}]}]
"""


@pytest.mark.promise("audiences.desk-purposes")
def test_the_desk_shows_no_signal_whose_purpose_is_refused(tmp_path: Path) -> None:
    brain = Brain(small_workspace(tmp_path / "shop", PURPOSE))
    client = Client(brain)
    welcome(client, "c-1")
    assert client("POST", "/v1/signals", signal("game", "customer:c-1", level=1))[1]["accepted"] == 1
    about = {"request_id": "r-1", "customer_id": "c-1", "conversation_id": "chat-1", "channel": "chat"}
    handover = client("POST", "/v1/handovers", {**about, "reason": "asks for a person"})[1]["handover_id"]
    agent = client.of_scope("agent")
    form = {"content_type": "application/x-www-form-urlencoded"}
    assert agent.raw("POST", f"/desk/{handover}/take", b"", **form)[0] == 303
    shown = [agent.raw("GET", f"/desk/{handover}")[2]]
    assert client("POST", "/v1/consents", consent("c-1", "insight"))[0] == 200
    shown.append(agent.raw("GET", f"/desk/{handover}")[2])
    assert [b"<li>game " in page for page in shown] == [False, True]
    brain.close()
