"""The load generator: what it counts is what happened."""

import asyncio
import itertools
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from demo import customers, traffic
from demo.history import History
from demo.traffic import Load, Outcome
from tests.demo import revisions
from tests.demo.production import Production

KINDS = ("cart", "guest", "express", "member")


def test_same_seed_gives_the_same_requests() -> None:
    def first(seed: int) -> list[customers.Ask]:
        return list(itertools.islice(customers.stream(seed), 50))

    assert first(3) == first(3)
    assert first(3) != first(4)


def test_shares_of_the_stream_are_those_of_its_mix() -> None:
    asks = list(itertools.islice(customers.stream(1), 4000))
    shares = {kind: sum(ask.kind == kind for ask in asks) / len(asks) for kind in KINDS}
    expected = {"cart": 0.04, "guest": 0.45, "express": 0.35, "member": 0.16}

    assert all(abs(shares[kind] - expected[kind]) < 0.025 for kind in KINDS), shares
    assert not any(
        "express" in json.loads(ask.body)["delivery"] for ask in asks if ask.kind == "guest"
    )


def test_report_agrees_with_the_services_own_log(
    histories: dict[str, History], production: Production, tmp_path: Path
) -> None:
    built = histories["guest-crash"]
    tree = production.tree(built.repository, built.newest)
    report = tmp_path / "traffic.jsonl"
    done = revisions.run(
        revisions.ROOT,
        *("-m", "demo.traffic", "--target", production.serve(tree), "--report", str(report)),
        *("--rate", "100", "--seconds", "1.5"),
    )
    summary = traffic.read_report(report)
    statuses = [line["status"] for line in revisions.read_lines(production.accesses)]

    assert 0 == done.returncode, done.stderr
    assert {Outcome.OK: statuses.count(200), Outcome.ERROR: statuses.count(500)} == {
        outcome: count for outcome, count in summary.total.counts.items() if count
    }
    assert len(statuses) > 100
    assert {tree.name} == set(summary.revisions)
    assert 0 == summary.lost


def test_a_stretch_of_the_report_is_summed_alone(tmp_path: Path) -> None:
    report = tmp_path / "traffic.jsonl"
    begin = datetime(2026, 3, 2, tzinfo=UTC)
    with report.open("wb") as file:
        for second in range(4):
            one = traffic.Second(begin + timedelta(seconds=second))
            one.add(Outcome.ERROR if second == 2 else Outcome.OK, "abc", 5.0)
            file.write(one.as_line())
        file.write(b'{"at": "half a li')
    middle = traffic.read_report(
        report, since=begin + timedelta(seconds=1), until=begin + timedelta(seconds=3)
    )

    assert (2, 0.5) == (middle.total.requests, middle.total.error_rate)
    assert 4 == traffic.read_report(report).total.requests
    assert traffic.read_report(tmp_path / "none").total.error_rate is None


async def _load(target: str, report: Path, wanted: int) -> None:
    stop = asyncio.Event()
    load = asyncio.create_task(Load(target, report).run(200.0, 1, stop))
    while traffic.read_report(report).total.requests < wanted:
        await asyncio.sleep(0.02)
    stop.set()
    await load


def test_nobody_listening_is_lost_not_hidden(tmp_path: Path) -> None:
    with revisions.refused_port() as nobody:
        target = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        asyncio.run(_load(target, tmp_path / "r", wanted=1))
    summary = traffic.read_report(tmp_path / "r")

    assert summary.total.requests == summary.total.counts[Outcome.LOST] == summary.lost > 0


def test_kept_connection_closed_before_the_answer_is_counted_apart(tmp_path: Path) -> None:
    """A server that answers once per connection and hangs up on the second request."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Revision: abc\r\n\r\n"
        try:
            for reply in (answer, b""):
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
                writer.write(reply)
        except asyncio.IncompleteReadError:
            pass  # the client had nothing more to ask
        finally:
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        await _load(f"http://127.0.0.1:{port}", tmp_path / "r", wanted=20)
        server.close()
        await server.wait_closed()

    asyncio.run(run())
    counts = traffic.read_report(tmp_path / "r").total.counts

    assert counts[Outcome.STALE] > 0
    assert counts[Outcome.OK] > 0
    assert 0 == counts[Outcome.LOST]
