"""Stack traces out of text: real Python ones of every form, other languages, hostile ones,
files.
"""

import json
import random
import traceback
from collections.abc import Callable

import pytest

from agents.builtin import tracelines, traces
from agents.builtin.tracelines import Language
from agents.builtin.traces import Frame, Resolution


def raised(call: Callable[[], object]) -> str:
    """Return the traceback that the interpreter itself prints."""
    try:
        call()
    except (ArithmeticError, LookupError, RuntimeError, SyntaxError, ValueError, ExceptionGroup):
        return traceback.format_exc()
    raise AssertionError("nothing was raised")


def dive(depth: int) -> int:
    return 1 // 0 if depth == 0 else dive(depth - 1)


def wrap() -> None:
    try:
        dive(0)
    except ZeroDivisionError as error:
        raise KeyError("cart") from error


def stumble() -> object:
    try:
        return dive(0)
    except ZeroDivisionError:
        return [][0]


def gather() -> None:
    failures: list[Exception] = []
    calls: tuple[Callable[[], int], ...] = (lambda: dive(0), lambda: int("x"))
    for call in calls:
        try:
            call()
        except (ArithmeticError, ValueError) as error:
            failures.append(error)
    raise ExceptionGroup("two failed", [*failures, ValueError("bare")])


def test_a_plain_traceback_has_its_newest_frame_first() -> None:
    (trace,) = traces.parse(raised(lambda: dive(2)))
    assert ("ZeroDivisionError", "integer division or modulo by zero") == (
        trace.exception,
        trace.message,
    )
    assert ["dive", "dive", "dive", "<lambda>", "raised"] == [f.function for f in trace.frames]
    assert dive.__code__.co_firstlineno + 1 == trace.frames[0].line
    assert __file__ == trace.frames[0].path


def test_a_cause_is_chained_behind_its_effect() -> None:
    (trace,) = traces.parse("noise\n" + raised(wrap) + "more noise\n")
    assert ("KeyError", "'cart'") == (trace.exception, trace.message)
    assert ["ZeroDivisionError"] == [cause.exception for cause in trace.chained]


def test_an_exception_while_handling_is_chained_too() -> None:
    (trace,) = traces.parse(raised(stumble))
    assert ["IndexError", "ZeroDivisionError"] == [
        trace.exception,
        *[cause.exception for cause in trace.chained],
    ]


def test_a_group_carries_its_members_with_and_without_frames() -> None:
    (trace,) = traces.parse(raised(gather))
    assert "ExceptionGroup" == trace.exception
    assert ["ZeroDivisionError", "ValueError", "ValueError"] == [m.exception for m in trace.chained]
    assert "dive" == trace.chained[0].frames[0].function
    assert () == trace.chained[2].frames


def test_repeated_lines_count_but_never_beyond_the_cap() -> None:
    def endless(n: int) -> int:
        return endless(n + 1)

    (trace,) = traces.parse(raised(lambda: endless(0)))
    assert "RecursionError" == trace.exception
    assert tracelines.MAX_FRAMES == len(trace.frames)
    assert "endless" == trace.frames[0].function


def test_a_syntax_error_names_the_broken_file() -> None:
    (trace,) = traces.parse(raised(lambda: compile("x = (\ny z", "/srv/shop/broken.py", "exec")))
    assert "SyntaxError" == trace.exception
    assert "/srv/shop/broken.py" == trace.frames[0].path


def test_a_syntax_error_without_header_is_read() -> None:
    (trace,) = traces.parse(
        '  File "a.py", line 3\n    x = \n       ^\nSyntaxError: invalid syntax'
    )
    assert (Frame("a.py", 3, ""),) == trace.frames


def test_a_traceback_inside_a_json_string_is_read() -> None:
    line = json.dumps({"level": "error", "exception": raised(wrap)})
    (trace,) = traces.parse(line)
    assert "KeyError" == trace.exception
    assert ["ZeroDivisionError"] == [cause.exception for cause in trace.chained]


@pytest.mark.parametrize(
    "prefix", ["2026-03-01 10:00:0{} ERROR app: ", "web-1  | ", "    ", "[{}] "]
)
def test_a_prefix_before_every_line_is_seen_through(prefix: str) -> None:
    lines = raised(lambda: dive(1)).splitlines()
    text = "\n".join(prefix.format(index % 10) + line for index, line in enumerate(lines))
    (trace,) = traces.parse(text)
    assert "ZeroDivisionError" == trace.exception
    assert "dive" == trace.frames[0].function


def test_two_tracebacks_are_two_traces() -> None:
    found = traces.parse(raised(lambda: dive(0)) + "INFO fine\n" + raised(lambda: int("x")))
    assert ["ZeroDivisionError", "ValueError"] == [trace.exception for trace in found]


def test_java_causes_follow_the_outer_exception() -> None:
    text = (
        'Exception in thread "main" com.shop.OrderException: no order\n'
        "\tat com.shop.Orders.place(Orders.java:41)\n"
        "\tat java.base/java.lang.Thread.run(Thread.java:829)\n"
        "Caused by: java.lang.NullPointerException: cart\n"
        "\tat com.shop.Cart.total(Cart.java:7)\n"
        "\t... 2 more\n"
    )
    (trace,) = traces.parse(text)
    assert (Language.JAVA, "com.shop.OrderException") == (trace.language, trace.exception)
    assert Frame("Orders.java", 41, "Orders.place", "com.shop") == trace.frames[0]
    assert ["java.lang.NullPointerException"] == [cause.exception for cause in trace.chained]


def test_javascript_frames_with_and_without_functions() -> None:
    text = (
        "TypeError: Cannot read properties of undefined (reading 'id')\n"
        "    at async place (/srv/shop/orders.js:12:7)\n"
        "    at /srv/shop/app.js:3:1\n"
        "    at node:internal/process/task_queues:95:5\n"
    )
    (trace,) = traces.parse(text)
    assert Language.JAVASCRIPT == trace.language
    assert Frame("/srv/shop/orders.js", 12, "place") == trace.frames[0]
    assert 3 == len(trace.frames)


def test_go_reads_only_the_goroutine_that_panicked() -> None:
    text = (
        "panic: runtime error: index out of range [3] with length 3\n\n"
        "goroutine 1 [running]:\n"
        "main.place(...)\n\t/srv/shop/orders.go:41 +0x1d\n"
        "main.main()\n\t/srv/shop/main.go:9 +0x85\n\n"
        "goroutine 7 [select]:\n"
        "net.wait()\n\t/srv/shop/net.go:1 +0x5\n"
    )
    (trace,) = traces.parse(text)
    assert ("panic", Frame("/srv/shop/orders.go", 41, "main.place")) == (
        trace.exception,
        trace.frames[0],
    )
    assert 2 == len(trace.frames)


def test_ruby_begins_with_its_newest_frame() -> None:
    text = (
        "/srv/shop/orders.rb:12:in `place': no cart (Shop::OrderError)\n"
        "\tfrom /srv/shop/app.rb:3:in `<main>'\n"
    )
    (trace,) = traces.parse(text)
    assert ("Shop::OrderError", "no cart") == (trace.exception, trace.message)
    assert ["place", "<main>"] == [frame.function for frame in trace.frames]


def test_random_cuts_of_real_traces_never_raise_and_never_invent_a_path() -> None:
    rng = random.Random(6)
    text = raised(gather) + raised(wrap) + raised(stumble)
    pieces = text.splitlines()
    for _ in range(300):
        mixed = "\n".join(
            line[rng.randrange(4) :] for line in rng.choices(pieces, k=rng.randrange(60))
        )
        for trace in traces.parse(mixed):
            assert all(frame.path in text for frame in trace.frames)


def test_hostile_text_keeps_within_the_caps() -> None:
    frame = '  File "a.py", line 1, in f\n'
    text = ("Traceback (most recent call last):\n" + frame * 300 + "E: x\n") * 100
    found = traces.parse(text)
    assert traces.MAX_TRACES == len(found)
    assert all(len(trace.frames) <= tracelines.MAX_FRAMES for trace in found)


def located(path: str, *tracked: str) -> traces.Located:
    (one,) = traces.resolve([Frame(path, 1, "f")], tracked)
    return one


def test_the_longest_common_suffix_decides() -> None:
    found = located("/srv/app/shop/orders.py", "shop/orders.py", "admin/orders.py")
    assert ("shop/orders.py", Resolution.TRACKED, True) == (
        found.file,
        found.resolution,
        found.in_app,
    )


def test_a_tie_is_reported_and_not_guessed() -> None:
    found = located("orders.py", "shop/orders.py", "admin/orders.py")
    assert (None, Resolution.AMBIGUOUS, ("admin/orders.py", "shop/orders.py")) == (
        found.file,
        found.resolution,
        found.candidates,
    )


@pytest.mark.parametrize(
    "path",
    [
        "/usr/lib/python3.11/json/decoder.py",
        "/srv/.venv/lib/python3.11/site-packages/shop/json/decoder.py",
    ],
)
def test_a_dependency_is_never_in_the_application(path: str) -> None:
    assert Resolution.UNKNOWN == located(path, "shop/json/decoder.py").resolution


def test_a_shared_base_name_in_other_folders_is_no_match() -> None:
    assert located("/opt/other/tool/utils.py", "shop/utils.py").file is None


def test_a_tracked_vendor_folder_is_not_in_the_application() -> None:
    found = located("/srv/lib/orders.py", "vendor/lib/orders.py")
    assert not found.in_app


def test_java_packages_give_the_folder() -> None:
    (found,) = traces.resolve(
        [Frame("Cart.java", 7, "Cart.total", "com.shop")],
        ["src/main/java/com/shop/Cart.java", "src/main/java/com/admin/Cart.java"],
    )
    assert "src/main/java/com/shop/Cart.java" == found.file
