"""What goes wrong at a metrics server is one sentence, soon, and without a secret."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from incidents import errors
from incidents.models import Bucket, Version
from rollout.monitors import web
from rollout.monitors.web import Counts, Web, WebSettings
from tests.rollout.monitors.metrics_server import MetricsServer, Reply, closed_port

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def asker(server: MetricsServer) -> Iterator[Web]:
    made = make(server.address)
    yield made
    made.close()


def make(address: str) -> Web:
    settings = WebSettings(address=address, timeout=0.4)
    return Web("The source", settings, lambda: {"Authorization": "Bearer s3cr3t"})


def failure(asker: Web) -> errors.TemporaryFailure:
    with pytest.raises(errors.TemporaryFailure) as caught:
        asker.post("/ask", asker.deadline(), json={})
    assert "s3cr3t" not in caught.value.message
    assert "\n" not in caught.value.message
    return caught.value


LONG = b'{"status":"success"}' + b" " * 4096


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(hang=True), "did not answer within 0.4 s."),
        (Reply(LONG, drip=True), "did not answer within 0.4 s."),
        (Reply(LONG, cut=9), "cannot be asked: RemoteProtocolError."),
        (Reply(b'{"status": "succ'), "answers something that is not JSON."),
        (Reply(b"<html>welcome</html>"), "answers something that is not JSON."),
        (Reply(b'{"value": NaN}'), "answers something that is not JSON."),
        (Reply(b"[" * 100_000), "answers something that is not JSON."),
        (Reply(b"[1, 2]"), "answers something that is not a JSON object."),
        (Reply(b"{}", 500), "answers 500."),
        (Reply(b'{"error": "too\\nmany \\u0007 samples"}', 422), "answers 422: too many samples."),
        (Reply(b'{"errors": [{"detail": "no such scope"}]}', 400), "answers 400: no such scope."),
        (Reply(b"<h1>Bad gateway</h1>", 502), "answers 502."),
        (Reply(b"", 401), "refuses our credentials (401)."),
        (Reply(b"", 302, {"Location": "http://127.0.0.1:1/"}), "sends us elsewhere (302)"),
        (Reply(b"", 429), "asks us to ask less often (429)."),
        (Reply(clock=timedelta(hours=1)), "has a clock that differs from ours by"),
        (Reply(clock=-timedelta(minutes=1)), "has a clock that differs from ours by -"),
    ],
)
def test_each_way_to_fail_is_a_sentence(
    server: MetricsServer, asker: Web, reply: Reply, said: str
) -> None:
    server.says(reply)

    assert failure(asker).message.startswith(f"The source {said}")


def test_too_large_an_answer_is_not_read_to_its_end(server: MetricsServer, asker: Web) -> None:
    server.says(Reply(b" " * (web.MOST_BYTES + 1)))

    assert failure(asker).message.startswith(("The source answers with too much", "The source did"))


def test_nobody_listening_is_a_sentence() -> None:
    asker = make(f"http://127.0.0.1:{closed_port()}")

    assert failure(asker).message == "The source cannot be asked: ConnectError."
    asker.close()


def test_who_is_asked_to_wait_waits(server: MetricsServer, asker: Web) -> None:
    server.says(Reply(b"", 429, {"Retry-After": "77"}))

    assert timedelta(seconds=77) == failure(asker).retry_after


def test_a_source_that_recovers_is_asked_as_before(server: MetricsServer, asker: Web) -> None:
    server.says(Reply(LONG, cut=9), Reply(b'{"fine": true}'))
    failure(asker)

    assert {"fine": True} == asker.post("/ask", asker.deadline(), json={})
    asker.close()
    server.says(Reply(b'{"fine": true}'))
    assert {"fine": True} == asker.post("/ask", asker.deadline(), json={})


@pytest.mark.parametrize("content", [None, b"", b"two\nlines", b"\xff\xfe"])
def test_a_secret_that_cannot_be_used_is_a_sentence(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(errors.TemporaryFailure, match="The secret file"):
        web.secret(str(path))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3000.0000000000005", 3000), (29.999999, 30), ("0", 0), (7, 7), ("NaN", None),
        ("+Inf", None), ("-1", None), (None, None), (True, None), ("many", None), ([], None),
        ("1e400", None),
    ],
)  # fmt: skip
def test_what_is_a_count(value: object, expected: int | None) -> None:
    assert expected == web.count(value)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((100, 3), (100, 3)),
        ((100, 101), (100, 100)),  # rounding
        ((100, 200), (None, None)),  # a contradiction
        ((None, 3), (None, None)),
        ((100, None), (None, None)),
        ((0, 0), (0, 0)),
    ],
)
def test_what_is_not_measured_whole_is_not_measured(
    given: tuple[int | None, int | None], expected: tuple[int | None, int | None]
) -> None:
    found = web.bucket(Version.CANARY, START, 60, Counts(*given))

    assert Bucket(Version.CANARY, START, 60, *expected) == found


def test_buckets_lie_on_the_grid_and_the_newest_are_left_for_later() -> None:
    settings = WebSettings(address="http://x", step=60, delay=30)
    since, until = START - timedelta(seconds=7), START + timedelta(seconds=149)

    assert [START] == web.grid(since, until, settings)
    assert [START, START + MINUTE] == web.grid(since, until + timedelta(seconds=1), settings)


def test_a_long_past_is_asked_for_in_parts() -> None:
    settings = WebSettings(address="http://x", step=60, delay=0)
    first = web.grid(START, START + 1000 * MINUTE, settings)
    rest = web.grid(first[-1] + MINUTE, START + 1000 * MINUTE, settings)

    assert (360, 360) == (len(first), len(rest))
    assert MINUTE == rest[0] - first[-1]
