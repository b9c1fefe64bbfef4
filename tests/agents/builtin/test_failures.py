"""What a run of a test command says, read from the words that pytest, unittest and others print."""

import pytest

from agents.builtin import failures
from agents.builtin.failures import Failure, State
from agents.sandboxes.contract import Completed

PYTEST = """\
F                                                                        [100%]
=================================== FAILURES ===================================
_________________________________ test_total ___________________________________

    def test_total():
>       assert total([1, 2]) == 4
E       assert 3 == 4
E        +  where 3 = total([1, 2])

tests/test_shop.py:4: AssertionError
=========================== short test summary info ============================
FAILED tests/test_shop.py::test_total - assert 3 == 4
1 failed in 0.02s
"""
COLLECTING = """\
==================================== ERRORS ====================================
_____________________ ERROR collecting tests/test_shop.py ______________________
ImportError while importing test module '/t/tests/test_shop.py'.
tests/test_shop.py:1: in <module>
    from shop import total
E   ImportError: cannot import name 'total' from 'shop' (/t/shop.py)
=========================== short test summary info ============================
ERROR tests/test_shop.py
!!!!!!!!!!!!!!!!!!!! Interrupted: 1 error during collection !!!!!!!!!!!!!!!!!!!!
"""
UNITTEST = """\
F
======================================================================
FAIL: test_total (tests.test_shop.ShopTest.test_total)
Return the sum.
----------------------------------------------------------------------
Traceback (most recent call last):
  File "/t/tests/test_shop.py", line 7, in test_total
    self.assertEqual(4, total([1, 2]))
AssertionError: 4 != 3

----------------------------------------------------------------------
Ran 1 test in 0.000s

FAILED (failures=1)
"""
CHAIN = """\
Traceback (most recent call last):
  File "a.py", line 1, in f
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 3, in g
shop.errors.Rejected: no x
"""


def done(output: str, code: int | None = 1, *, timed_out: bool = False) -> Completed:
    return Completed(
        argv=("run",), exit_code=code, timed_out=timed_out, output=output, stdout=output, stderr="",
        seconds=0.1, cpu_seconds=0.1, peak_memory_bytes=1, sandbox="none",
    )  # fmt: skip


def read(output: str, code: int | None = 1, *, timed_out: bool = False) -> failures.Observed:
    return failures.observe(done(output, code, timed_out=timed_out), timeout_seconds=5)


def test_pytest_names_test_error_and_assertion() -> None:
    expected = Failure(
        "tests/test_shop.py::test_total", "AssertionError", "assert 3 == 4",
        "assert total([1, 2]) == 4",
    )  # fmt: skip
    assert read(PYTEST).failures == (expected,)


def test_an_error_while_collecting_is_a_failure_at_the_start() -> None:
    (found,) = read(COLLECTING, 2).failures
    assert (found.test, found.exception, found.at_start) == (
        "tests/test_shop.py",
        "ImportError",
        True,
    )


def test_unittest_names_test_error_and_assertion() -> None:
    (found,) = read(UNITTEST).failures
    assert (found.test, found.exception, found.message) == (
        "tests.test_shop.ShopTest.test_total", "AssertionError", "4 != 3",
    )  # fmt: skip


def test_of_a_chain_the_error_that_came_out_counts() -> None:
    assert read(CHAIN).failures == (Failure("", "Rejected", "no x"),)


def test_a_command_without_a_traceback_is_named_by_its_code_and_last_words() -> None:
    assert read("checking\ntotal is wrong\n", 3).failures == (
        Failure("", "exit 3", "total is wrong"),
    )


def test_a_timeout_is_a_state_of_its_own() -> None:
    assert read("", None, timed_out=True).state is State.TIMED_OUT


@pytest.mark.parametrize(
    ("output", "code"),
    [
        ("no tests ran in 0.01s\n", 5),
        ("ERROR: file or directory not found: tests/test_x.py\n\nno tests ran in 0.00s\n", 4),
        ("sh: pytest: not found\n", 127),
        ("/usr/bin/python: No module named pytest\n", 1),
        ("python: can't open file '/t/check.py': [Errno 2] No such file or directory\n", 2),
        ("\n----\nRan 0 tests in 0.000s\n\nOK\n", 0),
    ],
)
def test_a_run_that_never_got_to_the_test_is_untestable(output: str, code: int) -> None:
    assert read(output, code).state is State.UNTESTABLE


def test_figures_and_quoted_values_do_not_tell_two_failures_apart() -> None:
    one = Failure("t", "KeyError", "'guest 17' at 0x7f01")
    other = Failure("t", "KeyError", "'guest 18' at 0x7f02")
    assert one.same(other)


def test_another_assertion_of_the_same_test_is_another_failure() -> None:
    one = Failure("t", "AssertionError", "1 != 2", "assert a == 2")
    other = Failure("t", "AssertionError", "1 != 2", "assert b == 2")
    assert (one.same(other), one.kin(other)) == (False, True)


def test_hostile_output_is_read_in_bounded_time() -> None:
    assert read("E   " * 300_000 + "\n" + "_" * 500_000, 1).state is State.FAILED
