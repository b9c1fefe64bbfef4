"""Which files belong to the test and stay the same for every tested revision."""

from agents.builtin import pins
from agents.builtin.failures import Failure

FILES = (
    "shop/cart.py",
    "shop/test_mode.py",
    "tests/__init__.py",
    "tests/conftest.py",
    "tests/data/orders.json",
    "tests/test_cart.py",
    "tests/test_other.py",
    "check_totals.py",
    "main.py",
    "conftest.py",
)


def test_a_failing_test_brings_its_support_and_no_other_test() -> None:
    target = Failure("tests/test_cart.py::test_total", "KeyError")
    assert set(pins.of_failure(target, ["pytest", "-q"], FILES)) == {
        "tests/test_cart.py",
        "tests/__init__.py",
        "tests/conftest.py",
        "tests/data/orders.json",
        "conftest.py",
    }


def test_a_test_of_unittest_is_found_by_its_dotted_name() -> None:
    target = Failure("tests.test_cart.CartTest.test_total", "KeyError")
    assert "tests/test_cart.py" in pins.of_failure(target, ["python", "-m", "unittest"], FILES)


def test_a_check_that_the_command_names_is_pinned() -> None:
    assert pins.of_failure(Failure("", "exit 1"), ["python", "check_totals.py"], FILES) == (
        "check_totals.py",
        "conftest.py",
    )


def test_the_services_own_program_is_never_pinned() -> None:
    assert pins.of_failure(Failure("", "KeyError"), ["python", "main.py"], FILES) == ()


def test_a_module_run_by_name_is_pinned_only_if_it_is_a_test() -> None:
    argv = ["python", "-m", "shop.cart"]
    assert pins.of_failure(Failure("", "KeyError"), argv, FILES) == ()
