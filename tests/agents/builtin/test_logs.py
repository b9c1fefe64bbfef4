"""Log triage: templates, series, onset, requests and standing; hostile files; memory; processes."""

import gzip
import json
import os
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.builtin import logs, tallies
from agents.builtin.onset import OnsetKind

pytestmark = pytest.mark.slow

START = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TRACE = (
    "Traceback (most recent call last):\n"
    '  File "/srv/shop/checkout/prices.py", line 27, in price\n'
    "    return cart.customer.tier\n"
    "           ^^^^^^^^^^^^^^^^^^\n"
    "AttributeError: 'NoneType' object has no attribute 'tier'"
)


def plain(index: int, text: str) -> str:
    return (START + index * SECOND).strftime("%Y-%m-%d %H:%M:%S,000") + " " + text


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def incident(seconds: int = 3600, onset: int = 2400) -> list[str]:
    """Return plain lines: noise all along, and from `onset` on a fault every two seconds."""
    lines = []
    for index in range(seconds):
        lines.append(plain(index, f"INFO [access] GET /cart/{index} 200"))
        if index % 30 == 7:
            lines.append(plain(index, f"ERROR [mail] no receipt for order {index}"))
        if index >= onset and index % 2 == 0:
            lines.append(plain(index, f"ERROR [api] checkout {index} failed\n{TRACE}"))
    return lines


def access(index: int, status: int, **more: object) -> str:
    moment = (START + index * SECOND).isoformat().replace("+00:00", "Z")
    return json.dumps(
        {"ts": moment, "version": "v12", "revision": "9f3c1a7", "method": "POST",
         "path": "/checkout", "status": status, "ms": 12, "request_id": f"{index:032x}", **more}
    )  # fmt: skip


def error(index: int, **more: object) -> str:
    moment = (START + index * SECOND).isoformat()
    line: dict[str, object] = {
        "ts": moment, "level": "error", "message": "unhandled exception", "traceback": TRACE,
        "request": {
            "method": "POST", "path": "/checkout", "body": {"cart": index % 7, "guest": True},
        },
        "revision": "9f3c1a7", "version": "v12",
    }  # fmt: skip
    return json.dumps({**line, **more})


def test_records_are_joined_counted_and_reduced_to_templates(tmp_path: Path) -> None:
    reading = logs.read([write(tmp_path / "a.log", incident())])
    counts = {template.text: template.count for template in reading.templates}
    assert {
        "ERROR [api] checkout <*> failed": 600,
        "ERROR [mail] no receipt for order <*>": 120,
    } == counts
    assert (720, 3600 + 720) == (reading.error_records, reading.records)
    assert () == reading.gaps


def test_a_template_names_exception_frame_sample_and_place(tmp_path: Path) -> None:
    path = write(tmp_path / "a.log", incident())
    first = logs.read([path]).ranked()[0]
    assert ("AttributeError", "checkout/prices.py:price") == (first.exception, first.frame)
    assert first.trace is not None
    assert 27 == first.trace.frames[0].line
    assert first.sample.endswith(TRACE)
    offset = int(first.where.rsplit("@", 1)[1])
    assert path.read_bytes()[offset:].startswith(
        b"2026-03-01 10:40:00,000 ERROR [api] checkout 2400"
    )


def test_the_onset_is_found_and_what_is_new_comes_before_the_background(tmp_path: Path) -> None:
    reading = logs.read([write(tmp_path / "a.log", incident())])
    assert reading.onset is not None
    assert abs(reading.onset.at - START - 2400 * SECOND) <= reading.bucket
    assert OnsetKind.SUDDEN == reading.onset.kind
    assert [logs.Standing.NEW, logs.Standing.BACKGROUND] == [t.standing for t in reading.ranked()]
    assert [False, True] == [template.background for template in reading.ranked()]


def test_a_quiet_log_has_no_onset_and_only_background(tmp_path: Path) -> None:
    reading = logs.read([write(tmp_path / "a.log", incident(onset=9999))])
    assert reading.onset is None
    assert all(template.background for template in reading.templates)


def test_buckets_are_sixty_to_two_hundred_and_forty_and_hold_every_timed_record(
    tmp_path: Path,
) -> None:
    for seconds in (120, 3600, 4 * 3600):
        reading = logs.read([write(tmp_path / f"{seconds}.log", incident(seconds, seconds // 2))])
        assert 48 <= len(reading.buckets) <= 241
        assert reading.error_records == sum(reading.buckets)
        assert all(t.count == sum(t.buckets) for t in reading.templates)


def test_json_access_lines_give_an_error_rate(tmp_path: Path) -> None:
    lines = [access(i, 500 if i >= 600 and i % 4 == 0 else 200) for i in range(1200)]
    reading = logs.read([write(tmp_path / "a.log", lines)])
    assert reading.requests is not None
    assert (1200, 150) == (sum(reading.requests.totals), sum(reading.requests.errors))
    half = len(reading.requests.totals) // 2
    assert 0.0 == reading.requests.rate(0, half)
    assert reading.requests.rate(half) == pytest.approx(0.25, abs=0.02)
    assert reading.onset is not None
    assert abs(reading.onset.at - START - 600 * SECOND) <= reading.bucket


def test_an_error_rate_without_requests_is_missing_and_not_zero(tmp_path: Path) -> None:
    reading = logs.read([write(tmp_path / "a.log", [access(1, 200), access(2, 200)])])
    assert reading.requests is not None
    assert reading.requests.rate(5, 5) is None


def test_json_error_lines_give_template_request_revision_and_failing_requests(
    tmp_path: Path,
) -> None:
    lines = [line for i in range(100) for line in (access(i, 500), error(i))]
    reading = logs.read([write(tmp_path / "a.log", lines)])
    (template,) = reading.templates
    assert ("AttributeError", "checkout/prices.py:price") == (template.exception, template.frame)
    assert ("9f3c1a7",) == template.revisions
    assert template.request is not None
    assert {"cart": 0, "guest": True} == json.loads(template.request.body or "")
    bodies = {failing.request.body for failing in reading.failing if failing.key == template.key}
    assert 7 == len(bodies)


@pytest.mark.parametrize(
    "line",
    [
        {"time": 1772359200.5, "severity": "ERROR", "msg": "boom 1", "exc_info": TRACE},
        {"timestamp": "2026-03-01T10:00:00.5Z", "levelname": "ERROR",
         "message": "boom 1", "stack_trace": TRACE},
        {"@timestamp": 1772359200500, "log.level": "error",
         "message": "boom 1", "error.stack_trace": TRACE},
        {"time": 1772359200500, "level": 50, "msg": "boom 1", "err": {"type": "X", "stack": TRACE}},
        {"ts": "2026-03-01 10:00:00,5", "level": "critical",
         "event": "boom 1", "exception": TRACE.split("\n")},
    ],
)  # fmt: skip
def test_the_usual_names_of_json_keys_are_known(tmp_path: Path, line: dict[str, object]) -> None:
    (template,) = logs.read([write(tmp_path / "a.log", [json.dumps(line)])]).templates
    assert ("boom <*>", "AttributeError") == (template.text, template.exception)
    assert START + 0.5 * SECOND == template.first_seen


@pytest.mark.parametrize(
    "stamp",
    [
        "2026-03-01T10:00:00Z", "2026-03-01 10:00:00,000", "2026-03-01T11:00:00+01:00",
        "2026/03/01 10:00:00", "[2026-03-01 10:00:00]", "01/Mar/2026:10:00:00 +0000", "1772359200",
        "1772359200.000", "Mar  1 10:00:00", "<11>Mar  1 10:00:00", "web-1  | 2026-03-01T10:00:00Z",
    ],
)  # fmt: skip
def test_the_usual_forms_of_time_are_known(tmp_path: Path, stamp: str) -> None:
    path = write(tmp_path / "a.log", [f"{stamp} ERROR no cart {i}" for i in range(3)])
    os.utime(path, (START.timestamp(), START.timestamp()))
    (template,) = logs.read([path]).templates
    assert (START, 3) == (template.first_seen, template.count)


def test_tracebacks_without_any_time_are_counted_and_said_to_have_none(tmp_path: Path) -> None:
    lines = [part for _ in range(5) for part in (TRACE, "serving on port 80")]
    reading = logs.read([write(tmp_path / "a.log", lines)])
    assert [("AttributeError", 5)] == [(t.exception, t.count) for t in reading.templates]
    assert not any("serving" in template.sample for template in reading.templates)
    assert any("no timestamps" in gap for gap in reading.gaps)


def test_an_info_line_that_mentions_error_is_no_error(tmp_path: Path) -> None:
    reading = logs.read([write(tmp_path / "a.log", [plain(1, "INFO handled ERROR page, 0 left")])])
    assert 0 == reading.error_records


def test_a_window_leaves_out_what_lies_outside(tmp_path: Path) -> None:
    path = write(tmp_path / "a.log", incident())
    reading = logs.read([path], window=(START + 2400 * SECOND, START + 2500 * SECOND))
    assert {50, 4} >= {template.count for template in reading.templates}
    assert all(
        t.first_seen and START + 2400 * SECOND <= t.first_seen < START + 2500 * SECOND
        for t in reading.templates
    )


def test_a_window_of_a_big_file_is_found_without_reading_it_all(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    write(path, [plain(i // 40, "INFO " + "x" * 200) for i in range(60_000)])
    reading = logs.read([path], window=(START + 700 * SECOND, START + 800 * SECOND))
    assert reading.bytes < path.stat().st_size / 4


def test_two_files_are_one_reading(tmp_path: Path) -> None:
    lines = incident()
    paths = [write(tmp_path / "a.log", lines[::2]), write(tmp_path / "b.log", lines[1::2])]
    reading = logs.read(paths)
    assert 720 == reading.error_records
    assert tuple(map(str, paths)) == reading.files


@pytest.mark.parametrize("name", ["a.log.gz", "a.log"])
def test_a_packed_file_reads_like_its_content(tmp_path: Path, name: str) -> None:
    content = ("\n".join(incident()) + "\n").encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content))
    bare = tmp_path / "bare.log"
    bare.write_bytes(content)
    packed, unpacked = logs.read([path]), logs.read([bare])
    assert [(t.key, t.count) for t in unpacked.templates] == [
        (t.key, t.count) for t in packed.templates
    ]
    assert unpacked.buckets == packed.buckets


def test_several_processes_count_the_same_as_one(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    piece = ("\n".join(incident()) + "\n").encode()
    path.write_bytes(piece * (34_000_000 // len(piece)))
    limits = logs.Limits(full_records=10**9)
    one, two = (logs.read([path], processes=n, limits=limits) for n in (1, 2))
    assert one.error_records == two.error_records == 720 * (34_000_000 // len(piece))
    assert [(t.key, t.count, t.buckets) for t in one.templates] == [
        (t.key, t.count, t.buckets) for t in two.templates
    ]


def test_beyond_the_limit_counts_are_estimates_near_the_truth_and_said_to_be(
    tmp_path: Path,
) -> None:
    lines = [
        plain(i // 20, f"ERROR [api] order {i} failed {'x' * 60}\n{TRACE}") for i in range(40_000)
    ]
    reading = logs.read([write(tmp_path / "a.log", lines)], limits=logs.Limits(full_records=2000))
    assert reading.error_records == pytest.approx(40_000, rel=0.05)
    assert any("estimated" in note for note in reading.notes)
    assert 1 == len(reading.templates)


def test_a_flood_of_distinct_templates_is_capped_and_cannot_hide_a_later_fault(
    tmp_path: Path,
) -> None:
    rng = random.Random(1)
    letters = "bcdfghjklmnpqrstvwxz"
    lines = [
        plain(i // 10, "ERROR " + "".join(rng.choices(letters, k=12)) + " is gone")
        for i in range(6000)
    ]
    lines += [plain(600 + i, f"ERROR [api] order {i} failed\n{TRACE}") for i in range(200)]
    reading = logs.read([write(tmp_path / "a.log", lines)], limits=logs.Limits(templates=200))
    assert len(reading.templates) <= 201
    assert 200 == max(t.count for t in reading.templates if t.exception == "AttributeError")
    assert 6200 == sum(t.count for t in reading.templates)
    assert tallies.OTHER == reading.ranked()[-1].key


def hostile(path: Path, name: str) -> None:
    """Write one of the files that nobody should have to read."""
    rng = random.Random(3)
    bodies = {
        "noise": rng.randbytes(3_000_000),
        "nothing": b"",
        "NULs and then a log": b"\0" * 2_000_000 + ("\n".join(incident(60, 30)) + "\n").encode(),
        "bad UTF-8": b"2026-03-01 10:00:00 ERROR caf\xe9 \xff\xfe " * 1000,
        "colours": b"2026-03-01 10:00:00 \x1b[31mERROR\x1b[0m \x1b]0;x\x07 bad\n" * 100,
        "one long line": b"2026-03-01 10:00:00 ERROR " + b"ERROR x " * 2_000_000,
        "deep JSON": b'{"level":"error","a":' + b"[" * 60_000 + b"\n",
        "huge number": b'{"level":"error","n":' + b"9" * 9000 + b"}\n",
        "half a gzip": gzip.compress(rng.randbytes(200_000))[:90_000],
        "no gzip": b"\x1f\x8b" + rng.randbytes(1000),
        "zstd": b"\x28\xb5\x2f\xfd" + rng.randbytes(1000),
        "wild times": b"".join(
            b"%04d-03-01 10:00:00 ERROR x\n" % year for year in (1970, 1991, 2026, 2099, 9999)
        ),
    }
    path.write_bytes(bodies[name])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("noise", "binary noise"), ("nothing", "is empty"),
        ("NULs and then a log", "binary noise"),
        ("bad UTF-8", ""), ("colours", ""), ("one long line", "longer than 64 KiB"),
        ("deep JSON", "no timestamps"),
        ("huge number", "no timestamps"), ("half a gzip", "ended early"),
        ("no gzip", "cannot be read"),
        ("zstd", "zstd"), ("wild times", ""),
    ],
)  # fmt: skip
def test_hostile_files_end_with_a_sentence_and_never_with_an_error(
    tmp_path: Path, name: str, said: str
) -> None:
    path = tmp_path / "a.log"
    hostile(path, name)
    reading = logs.read([path])
    assert any(said in sentence for sentence in (*reading.gaps, *reading.notes, ""[: not said]))
    for template in reading.templates:
        assert len(template.sample) <= 2048
        assert all(c.isprintable() or c == "\n" for c in template.sample)


def test_a_log_behind_a_hole_of_nuls_is_read_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    hostile(path, "NULs and then a log")
    assert "AttributeError" in {t.exception for t in logs.read([path]).templates}


def test_times_that_go_backwards_lose_no_record(tmp_path: Path) -> None:
    lines = incident()
    random.Random(2).shuffle(lines)
    reading = logs.read([write(tmp_path / "a.log", lines)])
    assert (720, 720) == (reading.error_records, sum(reading.buckets))
    assert reading.onset is not None
    assert abs(reading.onset.at - START - 2400 * SECOND) <= reading.bucket


def test_what_is_no_file_is_named_and_never_waited_for(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    reading = logs.read([tmp_path / "absent.log", tmp_path, fifo, "/dev/zero"])
    assert 4 == len(reading.gaps)
    for word, gap in zip(
        ("No such file", "a directory", "a pipe", "a device"), reading.gaps, strict=True
    ):
        assert word in gap
    assert () == reading.templates


def test_no_files_are_a_gap() -> None:
    assert ("no log file was given",) == logs.read([]).gaps


def test_a_log_that_grows_is_read_to_where_it_was(tmp_path: Path) -> None:
    path = write(tmp_path / "a.log", incident())
    with path.open("a") as file:
        file.write(plain(3600, "ERROR [api] half a li"))
    reading = logs.read([path])
    assert path.stat().st_size == reading.bytes
    assert 721 == reading.error_records


def test_a_line_of_many_megabytes_is_one_record(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    hostile(path, "one long line")
    with path.open("ab") as file:
        file.write(b"\n2026-03-01 10:00:01 ERROR after it\n")
    reading = logs.read([path])
    assert reading.error_records == 2
    assert "ERROR after it" in {template.text for template in reading.templates}


MEMORY = """
import resource, sys
from agents.builtin import logs
reading = logs.read(sys.argv[1:])
# Not ru_maxrss: a started process has the peak of the one that started it.
(peak,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
assert reading.error_records, reading
print(int(peak.split()[1]) + child)
"""


@pytest.mark.parametrize("kind", ["distinct", "one line"])
def test_memory_stays_under_the_bound_on_hostile_logs(tmp_path: Path, kind: str) -> None:
    """Half a million distinct errors, or one line of 120 MB: under 300 MB over all processes."""
    path, rng = tmp_path / "a.log", random.Random(9)
    with path.open("wb") as file:
        if kind == "distinct":
            for index in range(500_000):
                word = rng.getrandbits(200).to_bytes(25, "big").translate(LETTERS)
                file.write(
                    plain(index // 100, "ERROR ").encode() + word + b" gone and lost for good\n"
                )
        else:
            for _ in range(120):
                file.write(b"ERROR so " * 111_111)
    found = subprocess.run(
        [sys.executable, "-c", MEMORY, str(path)],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        env={"PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)},
    )
    assert int(found.stdout) < 300 * 1024


LETTERS = bytes(97 + value % 26 for value in range(256))
