"""Errors told apart by the service's own log: the same bug is one text, another bug another."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from incidents import errors
from incidents.models import Result, Version
from rollout import gate
from rollout.monitors.accesslog import AccessLog
from rollout.monitors.errorlog import ErrorLog, fingerprint
from rollout.monitors.lines import Groups

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BUCKET = timedelta(seconds=5)


def trace(release: str = "aaa", line: int = 40, said: str = "KeyError: 'vat-17'") -> str:
    return (
        "Traceback (most recent call last):\n"
        f'  File "/srv/releases/{release}/checkout/app.py", line 70, in handle\n    …\n'
        f'  File "/srv/releases/{release}/checkout/pricing.py", line {line}, in rate\n    …\n'
        f'  File "/usr/lib/python3.11/decimal.py", line 9, in quantize\n    …\n{said}\n'
    )


def record(second: float = 1, version: str = "canary", **other: object) -> str:
    at = (START + timedelta(seconds=second)).isoformat()
    content = {"ts": at, "level": "ERROR", "version": version, "traceback": trace(), **other}
    return json.dumps(content) + "\n"


def test_a_fingerprint_is_type_own_frame_and_masked_message() -> None:
    assert "KeyError in pricing.py rate: <text>" == fingerprint({"traceback": trace()})


def test_another_release_line_and_request_is_the_same_error() -> None:
    one = {"traceback": trace(), "message": "POST /checkout 17"}
    two = {"traceback": trace("bbb", 44, "KeyError: 'vat-99'"), "message": "POST /checkout 18"}

    assert fingerprint(one) == fingerprint(two)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            {"error": {"type": "java.lang.IllegalStateException", "stack_trace": (
                "java.lang.IllegalStateException: no cart 5\n"
                "\tat com.shop.Cart.total(Cart.java:12)\n\tat com.shop.App.main(App.java:3)"),
                "message": "no cart 5"}},
            "IllegalStateException in Cart.java com.shop.Cart.total: no cart <n>",
        ),
        (
            {"stack": "TypeError: x is undefined\n    at Object.pay (/srv/node_modules/a.js:1:2)\n"
             "    at charge (/srv/app/pay.js:7:3)", "msg": "charge for ann@shop.example failed"},
            "in pay.js charge: charge for <email> failed",
        ),
        ({"message": "order 0f8fad5b-d9cb-469f-a165-70867728950e lost"}, "order <id> lost"),
        ({"message": "'Cart' object has no attribute 'fee'"},
         "'Cart' object has no attribute 'fee'"),
        ({"message": "no voucher 'SPRING' for \"Ann\""}, "no voucher <text> for <text>"),
        ({}, "other errors"),
    ],
)  # fmt: skip
def test_other_shapes_of_records(content: dict[str, object], expected: str) -> None:
    assert expected == fingerprint(content)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "error.log"


def counts(log: ErrorLog, version: Version, second: int = 0) -> dict[str, int]:
    start = START + timedelta(seconds=second)
    log.follow(start, start + timedelta(minutes=1))
    return log.counts(version, int(start.timestamp()) // 5)


def test_errors_are_counted_per_version_and_bucket(path: Path) -> None:
    path.write_text(
        record(1) + record(4) + record(6) + record(2, "stable", traceback="", message="slow")
        + record(2, "stranger") + record(2, level="INFO") + "garbage\n[]\n" + '{"ts": 3}\n'
    )  # fmt: skip
    log = ErrorLog(path, bucket=BUCKET, groups=Groups())

    assert {"KeyError in pricing.py rate: <text>": 2} == counts(log, Version.CANARY)
    assert {"KeyError in pricing.py rate: <text>": 1} == counts(log, Version.CANARY, 5)
    assert {"slow": 1} == counts(log, Version.STABLE)
    log.close()


def test_an_error_log_that_is_not_there_is_no_log_without_errors(path: Path) -> None:
    log = ErrorLog(path, bucket=BUCKET, groups=Groups())

    with pytest.raises(errors.TemporaryFailure, match=r"error\.log' cannot be read"):
        log.follow(START, START + BUCKET)


def test_a_flood_of_different_errors_is_held_in_bounds(path: Path) -> None:
    words = ("".join(chr(97 + int(c)) for c in str(n)) for n in range(500))
    path.write_text("".join(record(1, traceback="", message=word) for word in words))
    log = ErrorLog(path, bucket=BUCKET, groups=Groups())
    found = counts(log, Version.CANARY)

    assert (201, 300) == (len(found), found["other errors"])
    log.close()


def test_buckets_of_the_access_log_carry_them(path: Path) -> None:
    access = path.with_name("access.log")
    access.write_text(
        "".join(
            json.dumps({"ts": (START + timedelta(seconds=s)).isoformat(), "version": "canary",
                        "status": 500, "ms": 3}) + "\n"
            for s in range(8)
        )
    )  # fmt: skip
    path.write_text(record(1) + record(2))
    log = AccessLog(
        access,
        bucket=BUCKET,
        silence=BUCKET,
        errors=ErrorLog(path, bucket=BUCKET, groups=Groups()),
    )
    (bucket,) = log.buckets(Version.CANARY, START, START + BUCKET)

    assert log.fingerprints
    assert (5, 5) == (bucket.requests, bucket.errors)
    assert (("KeyError in pricing.py rate: <text>", 2),) == bucket.fingerprints
    log.close()


@pytest.mark.parametrize(("shared", "result"), [(False, Result.FAIL), (True, Result.INCONCLUSIVE)])
def test_the_gate_fails_for_an_error_that_stable_never_had(
    path: Path, shared: bool, result: Result
) -> None:
    """4 errors of 100 requests are under the limit; what they are is what counts."""
    access = path.with_name("access.log")
    lines = [
        {"ts": (START + timedelta(seconds=n / 10)).isoformat(), "ms": 3, "status": 200,
         "version": "stable" if n % 10 else "canary"}
        for n in range(1000)
    ]  # fmt: skip
    for n in (100, 300, 500, 700):
        lines[n]["status"] = 500
    access.write_text("".join(json.dumps(line) + "\n" for line in lines))
    path.write_text(
        "".join(record(second) for second in (10, 30, 50, 70))
        + (record(3, "stable") if shared else "")
    )
    errors_told = ErrorLog(path, bucket=BUCKET, groups=Groups())
    log = AccessLog(access, bucket=BUCKET, silence=BUCKET, errors=errors_told)
    until = START + 20 * BUCKET
    buckets = [b for version in Version for b in log.buckets(version, START, until)]
    report = gate.judge(buckets, gate.Gates(new_errors=log.fingerprints), 100)
    log.close()

    assert result is report.result
    assert (gate.Reason.NEW_ERRORS is report.reason) is not shared
