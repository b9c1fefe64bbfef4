"""Replayed requests: read-only, at a steady pace, counted per version and apart."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from incidents import errors
from incidents.models import Bucket, Version
from incidents.settings import Service
from rollout import replaying
from tests.rollout.asked import serving
from tests.rollout.production import until

QUICK = {"requests": ["GET /a", "HEAD /b"], "per_minute": 600, "timeout": 0.3}
BUCKET = timedelta(seconds=0.2)
NOBODY = "http://127.0.0.1:9"  # discard: nobody listens


def service(monitor: dict[str, str] | None = None, **keys: Any) -> Service:
    table = {"canary": "http://127.0.0.1:1", "stable": "http://127.0.0.1:2", **keys}
    return Service.model_validate(
        {"name": "checkout", "repository": "/r", "replay": table, "monitor": monitor}
    )


@contextmanager
def replaying_at(canary: str, stable: str, **keys: Any) -> Iterator[replaying.Replaying]:
    given = replaying.Settings.model_validate({"canary": canary, "stable": stable, **QUICK, **keys})
    made = replaying.Replaying(given, "R7", BUCKET)
    made.start()
    try:
        yield made
    finally:
        made.close()


def counted(made: replaying.Replaying, least: int) -> dict[Version, list[Bucket]]:
    """Wait for so many requests to each version, and return what was counted."""
    found: dict[Version, list[Bucket]] = {Version.CANARY: [], Version.STABLE: []}

    def enough() -> bool:
        for bucket in made.taken(datetime.now(UTC)):
            found[bucket.version].append(bucket)
        return all(sum(b.requests or 0 for b in mine) >= least for mine in found.values())

    until(enough, 20)
    return found


def errors_of(buckets: list[Bucket]) -> tuple[int, int]:
    return sum(b.errors or 0 for b in buckets), sum(b.requests or 0 for b in buckets)


def test_both_versions_are_asked_evenly_and_counted_apart() -> None:
    with serving(status=500) as new, serving(status=302) as old:
        with replaying_at(new.address, old.address) as made:
            found = counted(made, 6)
        asked = len(new.requests)

    assert {("GET", "/a"), ("HEAD", "/b")} == {*new.requests} == {*old.requests}  # and no redirect
    assert {"R7"} == new.marks == old.marks
    failed, all_of_them = errors_of(found[Version.CANARY])
    assert failed == all_of_them > 0
    assert 0 == errors_of(found[Version.STABLE])[0]
    assert asked <= len(new.requests) <= asked + 1  # nothing after the end
    starts = [bucket.start for bucket in found[Version.CANARY]]
    assert starts == [starts[0] + step * BUCKET for step in range(len(starts))]  # without a hole


def test_no_answer_and_a_late_one_are_errors_and_do_not_pile_up() -> None:
    with serving(seconds=1.0) as slow, replaying_at(NOBODY, slow.address) as made:
        found = counted(made, 3)

    assert errors_of(found[Version.CANARY])[0] == errors_of(found[Version.CANARY])[1]
    assert errors_of(found[Version.STABLE])[0] == errors_of(found[Version.STABLE])[1]
    assert errors_of(found[Version.CANARY])[1] > errors_of(found[Version.STABLE])[1]


def test_what_nobody_takes_any_more_is_not_asked_any_more() -> None:
    with serving() as new, serving() as old, replaying_at(new.address, old.address) as made:
        counted(made, 1)
        made._looked -= replaying.UNHEARD_SECONDS
        until(lambda: not made.alive, 5)


def test_of_a_log_only_named_read_only_requests_are_taken(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(
        '10.0.0.1 - - [x] "GET /products?page=2 HTTP/1.1" 200 12\n'
        '10.0.0.1 - - [x] "POST /products HTTP/1.1" 200 12\n'
        '10.0.0.1 - - [x] "GET /logout HTTP/1.1" 200 12\n'
        "HEAD /products/3\n"
        "DELETE /products/3\n",
        encoding="utf-8",
    )
    given = replaying.Settings(
        canary="http://a", stable="http://b", recorded=log, only=("/products",)
    )
    assert (("HEAD", "/products/3"), ("GET", "/products?page=2")) == given.chosen()


@pytest.mark.parametrize(
    ("keys", "mistake"),
    [
        ({"requests": ["POST /pay"]}, "no GET or HEAD"),
        ({"requests": ["GET http://elsewhere/"]}, "no GET or HEAD"),
        ({"requests": ["GET /a HTTP/1.1"]}, "no GET or HEAD"),
        ({}, "name `requests`"),
        ({"recorded": "/log"}, "`only` must name"),
        ({"requests": ["GET /"], "per_minute": 6000}, "less than or equal to 600"),
        ({"requests": ["GET /"], "per_minute": float("nan")}, "finite"),
        ({"requests": ["GET /"], "stable": "http://127.0.0.1:1"}, "one address"),
        ({"requests": ["GET /"], "canary": "http://shop/path"}, "canary"),
        ({"requests": ["GET /"], "speed": 3}, "speed"),
    ],
)
def test_settings_that_could_do_harm_are_refused(keys: dict[str, Any], mistake: str) -> None:
    with pytest.raises(errors.BadSettings, match=mistake):
        replaying.settings(service(**keys))
    rate, why = replaying.offered(service(**keys))
    assert (None, True) == (rate, mistake in why)


@pytest.mark.parametrize(
    ("monitor", "apart", "rate"),
    [
        ({"source": "haproxy"}, False, 60.0),  # sees only what goes through it
        ({"source": "prometheus"}, False, None),
        ({"source": "prometheus"}, True, 60.0),
        (None, False, None),
    ],
)
def test_it_is_offered_only_where_users_are_counted_without_it(
    monitor: dict[str, str] | None, apart: bool, rate: float | None
) -> None:
    found, why = replaying.offered(service(monitor, requests=["GET /"], apart=apart))
    assert (rate, rate is None) == (found, "as users'" in why)


def test_without_a_table_nothing_is_offered_or_said() -> None:
    assert (None, "") == replaying.offered(Service(name="checkout", repository="/r"))


def test_a_log_that_is_not_there_is_said(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    rate, why = replaying.offered(service(recorded=gone, only=["/"], apart=True))
    assert (None, True) == (rate, "cannot be read" in why)
