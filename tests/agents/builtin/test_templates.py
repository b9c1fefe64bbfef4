"""Messages reduced to templates: what varies goes, exception types stay, and time stays linear."""

import random
import string
import time

import pytest

from agents.builtin import templates


@pytest.mark.parametrize(
    ("message", "template"),
    [
        ("user 42 has 7 items", "user <*> has <*> items"),
        ("no cart \"a b\" for 'x'", "no cart <*> for <*>"),
        ("read /var/lib/app/x.db failed", "read <*> failed"),
        ("state=open id=9f3c, left", "state=<*> id=<*>, left"),
        ("connect to db.prod.example.com:5432 refused", "connect to <*> refused"),
        ("ids 1, 2, 3 gone", "ids <*> gone"),
        ("shop.orders.errors.OrderError: order 17", "shop.orders.errors.OrderError: order <*>"),
        (b"caf\xc3\xa9 \xff 12", "café � <*>"),
        ("\x1b[31mERROR\x1b[0m disk 3", "ERROR disk <*>"),
    ],
)
def test_what_varies_is_masked_and_what_identifies_stays(
    message: str | bytes, template: str
) -> None:
    assert template == templates.mask(message)


def test_masking_a_template_again_changes_nothing() -> None:
    rng = random.Random(4)
    alphabet = string.ascii_letters + string.digits + " .=/:'\"<>*,-_()[]"
    for _ in range(2000):
        once = templates.mask("".join(rng.choices(alphabet, k=rng.randrange(80))))
        again = templates.mask(once)
        assert again == templates.mask(again)


@pytest.mark.parametrize(
    "unit",
    ["a", "a-", "a.", "=", "/a", "'", '"', "A", "AError.", "a.b ", "<*>", " /a:", "1", "\x1b["],
)
def test_time_grows_linearly_on_hostile_messages(unit: str) -> None:
    def seconds(length: int) -> float:
        text = (unit * length)[:length] + "!"
        best = 9.0
        for _ in range(5):
            began = time.process_time()
            for pattern in (*templates.MASKS, templates.EXCEPTION, templates.RUN):
                pattern.sub("<*>", text)
            best = min(best, time.process_time() - began)
        return best

    assert seconds(32_000) <= 40 * seconds(4_000) + 0.005  # quadratic would be 64 times


def test_control_and_direction_characters_never_survive() -> None:
    dirty = "a\u202eb\x00c\x07\x1b]0;title\x07d\x9b"
    assert "abcd" == templates.plain(dirty)


def test_the_last_exception_type_of_a_message_is_found() -> None:
    assert "b.KeyError" == templates.find_exception("a.ValueError then b.KeyError: 'x'")
    assert templates.find_exception("all is well") is None
