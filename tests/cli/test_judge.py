"""`halon judge`: the contract of its answer, whoever calls it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.plants import Up, halon, here


def write(tmp_path: Path, errors: int | None, requests: int = 600) -> Path:
    buckets: list[dict[str, Any]] = []
    for number in range(12):
        for version, failed in (("canary", errors), ("stable", 0)):
            start = f"2026-01-05T09:{number:02}:00+00:00"
            row = {"version": version, "start": start, "requests": requests, "errors": failed}
            buckets.append(row if failed is not None else row | {"requests": None})
    content = {
        "gates": {"max_error_rate": 0.05, "max_latency_ratio": None},
        "planned_buckets": 60,
        "bucket_seconds": 60,
        "canary_weight": 50,
        "buckets": buckets,
    }
    path = tmp_path / "counts.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(("errors", "result"), [(0, "PASS"), (300, "FAIL"), (None, "INCONCLUSIVE")])
def test_stdout_is_one_object_and_the_exit_is_0_whatever_it_says(
    tmp_path: Path, errors: int | None, result: str
) -> None:
    path = write(tmp_path, errors)
    done = here("judge", str(path), "--json", env=Up(tmp_path).env, cwd=tmp_path)

    assert (0, "") == (done.returncode, done.stderr)
    answer = json.loads(done.stdout)
    assert result == answer["result"]
    assert {"result", "reason", "missing_requests", "gates"} == set(answer)


@pytest.mark.parametrize(("argument", "code"), [("none.json", 3), ("--wrong", 2)])
def test_a_file_that_is_none_is_3_and_wrong_usage_2(
    tmp_path: Path, argument: str, code: int
) -> None:
    done = halon("judge", argument, "--json", env=Up(tmp_path).env, cwd=tmp_path)

    assert (code, "") == (done.returncode, done.stdout)
