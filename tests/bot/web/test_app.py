"""The war room's routes through a real uvicorn: what programs get, what people see."""

import html
import itertools
import json
import re

import httpx
import pytest

from bot.port import Message, Tone
from bot.web import seen
from incidents.models import ApprovalState, Severity, Stage
from incidents.policy import OPERATOR, Access
from incidents.walls import Walls
from tests.bot.web import rooms
from tests.incidents.builders import START, World


def test_a_typed_line_opens_an_incident_and_says_which(house: rooms.House) -> None:
    with house.client() as client:
        answer = client.post("/say", json={"line": "/incident P0 checkout failing"})

    assert 200 == answer.status_code
    assert "INC-1" == answer.json()["incident"]
    assert Severity.P0 == house.world.incidents.get(1).severity


def test_the_same_key_opens_one_incident_however_often_it_is_sent(house: rooms.House) -> None:
    line = {"line": "/incident P1 checkout slow", "key": "once"}
    with house.client() as client:
        answers = [client.post("/say", json=line).json()["incident"] for _ in range(3)]

    assert ["INC-1"] * 3 == answers
    assert 1 == len(house.world.incidents.list())


def test_a_line_that_is_not_understood_is_answered_with_the_line_to_type(
    house: rooms.House,
) -> None:
    with house.client() as client:
        answer = client.post("/say", json={"line": "/incident P7 checkout failing"})

    assert 422 == answer.status_code
    assert "/incident P1 checkout failing" == answer.json()["try_this"]


def test_without_scripts_a_form_shows_its_error_and_keeps_what_was_typed(
    house: rooms.House,
) -> None:
    with house.client() as client:
        page = client.post(
            "/say", data={"line": "/incident sevrity"}, headers={"Accept": "text/html"}
        )

    assert 422 == page.status_code
    assert 'value="/incident sevrity"' in page.text
    assert "the nearest is" in page.text


def test_a_vote_grants_what_was_asked_and_withdrawing_takes_it_back(house: rooms.House) -> None:
    _, approval = house.ask(house.open())
    with house.client() as client:
        yes = client.post("/vote", json={"approval": approval.id, "answer": "yes"})
        granted = house.world.approvals.get(approval.id)
        back = client.post("/withdraw", json={"approval": approval.id})

    assert (200, 200) == (yes.status_code, back.status_code)
    assert (ApprovalState.GRANTED, OPERATOR) == (granted.state, granted.decided_by)
    assert ApprovalState.WITHDRAWN == house.world.approvals.get(approval.id).state


def test_a_vote_of_someone_on_no_list_is_refused_with_the_reason(house: rooms.House) -> None:
    _, approval = house.ask(house.open())
    with house.client(rooms.STRANGER) as client:
        answer = client.post("/vote", json={"approval": approval.id, "answer": "yes"})

    assert 422 == answer.status_code
    assert "is for the approvers of service 'checkout'" in answer.json()["reply"]
    assert ApprovalState.ASKED == house.world.approvals.get(approval.id).state


def test_every_form_that_answers_sends_what_the_reader_saw(house: rooms.House) -> None:
    _, approval = house.ask(house.open())
    with house.client() as client:
        page = client.get("/INC-1", headers={"Accept": "text/html"}).text
    sent = [html.unescape(one) for one in re.findall(r'name="seen" value="([^"]+)"', page)]

    assert {seen.of(approval)} == set(sent)
    assert page.count('action="/vote"') == len(sent) > 0


@pytest.mark.parametrize(
    "other", [{"patch_digest": "x"}, {"plan_hash": "x"}, {"rollout": "x"}, {"scope": "100"}]
)
def test_a_yes_to_something_else_than_what_would_be_done_is_refused(
    house: rooms.House, other: dict[str, str]
) -> None:
    _, approval = house.ask(house.open())
    saw = json.dumps(json.loads(seen.of(approval)) | other)
    with house.client() as client:
        answer = client.post("/vote", json={"approval": approval.id, "answer": "yes", "seen": saw})

    assert 422 == answer.status_code
    assert "What you saw is not what would be done" in answer.json()["reply"]
    assert ApprovalState.ASKED == house.world.approvals.get(approval.id).state


def test_a_yes_to_what_was_seen_is_granted(house: rooms.House) -> None:
    _, approval = house.ask(house.open())
    saw = {"approval": approval.id, "answer": "yes", "seen": seen.of(approval)}
    with house.client() as client:
        assert 200 == client.post("/vote", json=saw).status_code

    assert ApprovalState.GRANTED == house.world.approvals.get(approval.id).state


@pytest.mark.parametrize("saw", ["", "{}", "[]", "x", '{"scope": 1}'])
def test_what_no_page_can_have_shown_is_refused(house: rooms.House, saw: str) -> None:
    _, approval = house.ask(house.open())
    vote = {"approval": approval.id, "answer": "yes", "seen": saw}
    with house.client() as client:
        assert 422 == client.post("/vote", json=vote).status_code

    assert ApprovalState.ASKED == house.world.approvals.get(approval.id).state


def test_an_answer_that_is_neither_yes_nor_no_is_refused(house: rooms.House) -> None:
    with house.client() as client:
        assert 422 == client.post("/vote", json={"approval": "x", "answer": "ok"}).status_code


def test_the_api_tells_stages_questions_and_rollout(house: rooms.House) -> None:
    incident = house.open()
    rollout, approval = house.ask(incident)
    with house.client() as client:
        whole = client.get("/api/incidents/INC-1").json()
        listed = client.get("/api/incidents").json()["incidents"]

    assert [approval.id] == [one["id"] for one in whole["approvals"]]
    assert rollout.id == whole["rollout"]["id"]
    assert [Stage.TRIAGE.value, Stage.DEPLOY.value] == [one["stage"] for one in whole["stages"]]
    assert (None, "0") == (whole["verdict"], whole["cost"])
    assert ["INC-1"] == [one["id"] for one in listed]


def test_follow_ups_are_on_the_page_and_in_the_api(house: rooms.House) -> None:
    incident = house.open()
    house.world.action_items.add(
        incident.number, "Buy as a guest <b>", "@payments", START, None, OPERATOR
    )
    with house.client() as client:
        (item,) = client.get("/api/incidents/INC-1").json()["action_items"]
        page = client.get("/INC-1").text

    assert ("Buy as a guest <b>", "@payments") == (item["text"], item["owner"])
    assert "Buy as a guest &lt;b&gt;" in page


def test_the_timeline_comes_with_its_chain(house: rooms.House) -> None:
    incident = house.open()
    house.world.incidents.note(incident.number, OPERATOR, "cache is cold")
    with house.client() as client:
        entries = client.get("/api/incidents/INC-1/timeline").json()["entries"]

    assert ["opened", "note"] == [entries[0]["kind"], entries[-1]["kind"]]
    links = [(before["hash"], one["previous"]) for before, one in itertools.pairwise(entries)]
    assert all(made == named for made, named in links)


def test_what_comes_from_logs_is_shown_and_never_run(house: rooms.House) -> None:
    hostile = "<script>alert(1)</script> <!channel> [click](javascript:alert(1))"
    incident = house.open(title=hostile)
    message = Message(
        hostile,
        (hostile,),
        markdown=f"# {hostile}\n\n![i](https://evil.example/x.png)",
        diff=f"-{hostile}",
    )
    house.post(incident, message, "k")
    with house.client() as client:
        page = client.get("/INC-1", headers={"Accept": "text/html"}).text

    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert "<!channel>" not in page
    assert 'href="javascript:' not in page
    assert 'evil.example/x.png"' not in page.replace('href="https://evil.example/x.png"', "")


def test_a_message_and_its_edit_are_one_article(house: rooms.House) -> None:
    incident = house.open()
    post = house.post(incident, Message("Looking", tone=Tone.NEUTRAL), "k")
    again = house.post(incident, Message("Looking again"), "k")
    house.world.store.close()
    with house.client() as client:
        page = client.get("/INC-1").text

    assert post == again
    assert 1 == page.count("<article")


def test_files_are_downloads_that_no_browser_runs(house: rooms.House) -> None:
    incident = house.open()
    file = rooms.file("report.html", "text/html", b"<script>alert(1)</script>")
    post = house.post(incident, Message("A report", files=(file,)), "k")
    with house.client() as client:
        answer = client.get(f"/files/{post.id}/0")

    assert b"<script>alert(1)</script>" == answer.content
    assert "text/plain; charset=utf-8" == answer.headers["content-type"]
    assert answer.headers["content-security-policy"].startswith("sandbox;")
    assert answer.headers["content-disposition"].startswith("attachment;")


def test_a_private_incident_does_not_exist_for_those_who_are_not_its_responders(
    house: rooms.House,
) -> None:
    house.open(private=True)
    with house.client(rooms.STRANGER) as client:
        answers = [client.get(path).status_code for path in ("/INC-1", "/api/incidents/INC-1")]
        listed = client.get("/api/incidents").json()["incidents"]

    assert [404, 404] == answers
    assert [] == listed


def test_a_page_that_does_not_exist_says_where_to_go(house: rooms.House) -> None:
    with house.client() as client:
        page = client.get("/nowhere", headers={"Accept": "text/html"})
        missing = client.get("/INC-77", headers={"Accept": "text/html"})

    assert (404, 404) == (page.status_code, missing.status_code)
    assert "There is no such page." in page.text
    assert "INC-77" in missing.text
    assert 'href="/"' in page.text


def test_the_first_visit_says_what_this_is_and_the_command_to_try(house: rooms.House) -> None:
    with house.client() as client:
        configured = client.get("/").text
        house.world.access = type(house.world.access)({}, chat_configured=False)
        empty = client.get("/").text

    assert "/incident P0 checkout failing" in configured
    assert "halon demo" in empty


def test_completion_offers_the_commands_of_a_thread(house: rooms.House) -> None:
    with house.client() as client:
        rows = client.get("/complete", params={"line": "/incident sev", "thread": "INC-1"}).json()

    assert ["/incident severity "] == [row["insert"] for row in rows["completions"]]


def test_health_is_true_while_the_database_answers_and_the_poster_lives(
    house: rooms.House,
) -> None:
    with house.client(None) as client:
        answer = client.get("/healthz")

    assert (200, True) == (answer.status_code, answer.json()["database"])


def test_health_says_who_has_fallen_silent(world: World) -> None:
    room = rooms.room_of(world, beats={"poster": lambda: 90.0, "controller": lambda: None})
    with rooms.running(room) as (address, _):
        answer = httpx.get(f"{address}/healthz")

    assert (503, ["poster"]) == (answer.status_code, answer.json()["stale"])
    assert {"poster": 90.0, "controller": None} == answer.json()["seconds_since"]


@pytest.mark.parametrize(
    ("found", "status", "trouble"),
    [
        (None, 200, {}),
        (Walls("bubblewrap"), 200, {}),
        (Walls(None, "No sandbox works here."), 503, {"sandbox": "No sandbox works here."}),
    ],
)
def test_health_says_which_sandbox_the_workers_found(
    world: World, found: Walls | None, status: int, trouble: dict[str, str]
) -> None:
    room = rooms.room_of(world, sandbox=lambda: found)
    with rooms.running(room) as (address, _):
        answer = httpx.get(f"{address}/healthz")

    assert (status, trouble) == (answer.status_code, answer.json()["troubles"])
    assert (found.name if found else None) == answer.json()["sandbox"]


def test_a_mistake_of_ours_is_a_page_that_says_what_to_do(world: World) -> None:
    def broken() -> Access:
        raise RuntimeError("planted")

    with rooms.running(rooms.room_of(world, access=broken)) as (address, _):
        token = world.tokens.add("op", OPERATOR)
        headers = {"Authorization": f"Bearer {token}", "Accept": "text/html"}
        answer = httpx.get(address, headers=headers)

    assert 500 == answer.status_code
    assert "nothing already recorded is lost" in answer.text
    assert "planted" not in answer.text
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
