"""The stable name of a failure: blind to lines, ids and places, keen on type,
function and words.
"""

from dataclasses import replace

from agents.builtin import fingerprint, traces

TEXT = """Traceback (most recent call last):
  File "/srv/a/shop/api.py", line 4, in handle
    place(order)
  File "/srv/a/shop/orders.py", line 9, in place
    cart[17]
  File "/usr/lib/python3.11/collections/__init__.py", line 2, in __missing__
KeyError: 17
"""


def name(text: str) -> str:
    return fingerprint.fingerprint(traces.parse(text)[0])


def test_lines_ids_and_checkout_folders_do_not_change_it() -> None:
    assert name(TEXT) == name(
        TEXT.replace("/srv/a/", "/opt/b/c/").replace("17", "4711").replace("9", "8")
    )


def test_type_function_and_words_change_it() -> None:
    others = [
        TEXT.replace("KeyError", "IndexError"),
        TEXT.replace("in place", "in remove"),
        TEXT.replace("KeyError: 17", "KeyError: no cart"),
    ]
    assert 4 == len({name(TEXT), *map(name, others)})


def test_frames_of_dependencies_do_not_change_it() -> None:
    (trace,) = traces.parse(TEXT)
    assert fingerprint.fingerprint(trace) == fingerprint.fingerprint(
        replace(trace, frames=trace.frames[1:])
    )


def test_a_message_is_named_by_its_template() -> None:
    assert fingerprint.fingerprint("user 1 gone") == fingerprint.fingerprint("user 22 gone")
    assert fingerprint.fingerprint("user 1 gone") != fingerprint.fingerprint("cart 1 gone")
