"""What the hook `observe` may print, and what counts as no answer at all."""

import pytest

from incidents import errors
from rollout import hooks


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("", "no JSON"),
        ("null", "no JSON object"),
        ('{"weight": NaN, "stable": null, "canary": null}', "no whole percentage"),
        ('{"weight": Infinity, "stable": null, "canary": null}', "no whole percentage"),
        ('{"weight": 10.5, "stable": null, "canary": null}', "no whole percentage"),
        ('{"weight": true, "stable": null, "canary": null}', "no whole percentage"),
        ('{"weight": 101, "stable": null, "canary": null}', "no whole percentage"),
        ('{"weight": "10", "stable": null, "canary": null}', "no whole percentage"),
        ('{"weight": 0, "canary": null, "healthy": true}', "does not say 'stable'"),
        ('{"weight": 0, "stable": "a", "canary": 3, "healthy": true}', "no revision"),
        ('{"weight": 0, "stable": "a", "canary": null, "healthy": "yes"}', "neither true nor"),
    ],
)
def test_an_answer_in_another_form_is_none(printed: str, said: str) -> None:
    with pytest.raises(errors.TemporaryFailure, match=said):
        hooks.parse(printed)


def test_healthy_stands_for_what_is_not_said_on_its_own() -> None:
    answer = hooks.parse(
        '{"weight": 10.0, "stable": "a", "canary": "b", "healthy": true, "canary_healthy": false}'
    )
    assert hooks.Answer(10, "a", "b", True, False, None, None) == answer
