"""Secrets and personal data go; what an engineer needs stays."""

import random
import re
import time

import pytest

from incidents.checkdigits import iban, luhn
from incidents.redaction import TOKEN, Counting, redact, redact_json
from tests.incidents import private

AWS = "AKIA" + "IOSFODNN7EXAMPLE"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-DEF_123"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nxyz\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"key {AWS}", "key <aws-key-1>"),
        ("ghp_" + "a1" * 18, "<github-token-1>"),
        ("github_pat_" + "a1_" * 10, "<github-token-1>"),
        ("glpat-" + "a1" * 10, "<gitlab-token-1>"),
        ("xoxb-" + "1234567890-abc", "<slack-token-1>"),
        ("xapp-" + "1-A01-2-abcdef", "<slack-token-1>"),
        (
            "https://hooks.slack.com/services/" + "T00/B00/" + "x" * 24,
            "https://hooks.slack.com/services/<slack-hook-1>",
        ),
        ("bot" + "123456789:" + "A" * 35, "bot<telegram-token-1>"),
        ("AIza" + "b" * 35, "<google-key-1>"),
        ("sk_live_" + "a1" * 12, "<stripe-key-1>"),
        ("sk-ant-api03-" + "a1" * 20, "<api-key-1>"),
        ("npm_" + "a1" * 18, "<npm-token-1>"),
        (f"Cookie: {JWT};", "Cookie: <jwt-1>;"),
        (f"a\n{PEM}\nb", "a\n<private-key-1>\nb"),
        ("postgresql://app:s3cr3t@db:5432/x", "postgresql://app:<password-1>@db:5432/x"),
        ("redis://:s3cr3t@cache/0", "redis://:<password-1>@cache/0"),
        ("Authorization: Bearer abcdef123456789", "Authorization: Bearer <bearer-1>"),
        ("DB_PASSWORD=hunter22", "DB_PASSWORD=<secret-1>"),
        ("password: 'correct horse'", "password: '<secret-1>'"),
        ('{"api_key": "abcd1234"}', '{"api_key": "<secret-1>"}'),
        ("client_secret => abcdef", "client_secret => <secret-1>"),
        ("mail bob.smith+x@mail.example.co.uk now", "mail <email-1> now"),
        ("call +49 (30) 1234-5678 now", "call <phone-1> now"),
        ("call (555) 123-4567", "call <phone-1>"),
        ("card 4111 1111 1111 1111.", "card <card-1>."),
        ("card 5500005555555559", "card <card-1>"),
        ("to DE89 3704 0044 0532 0130 00 today", "to <iban-1> today"),
        ("from 203.0.113.7:4711", "from <ip-1>:4711"),
        ("from 2001:db8::8a2e:370:7334 port", "from <ip-1> port"),
        ("http://10.1.2.3/x", "http://<ip-1>/x"),
    ],
)
def test_what_must_go(text: str, expected: str) -> None:
    assert expected == redact(text, Counting())


@pytest.mark.parametrize(
    "text",
    [
        "a" * 40,
        "d41d8cd98f00b204e9800998ecf8427e",
        "2026-01-05T09:00:00.123456+00:00",
        "epoch 1767603600123 and 1767603600",
        "card-like 4111 1111 1111 1112",
        "order 1234-5678-9012",
        "10.30.45 build 1.2.3",
        "Chrome/120.0.0.0 Safari/537.36",
        "http://127.0.0.1:8080/ and 0.0.0.0 and ::1",
        "tests/test_cafe.py::test_add and std::add, add::fee",
        "12:34:56 and 09:00",
        "password=$DB_PASSWORD token=${TOKEN} secret: null",
        "tokens=120 max_tokens: 4096",
        "the password was wrong",
        "@@ -1,7 +1,7 @@",
        "+    total = 123456789012",
        "git@ is not an address; user@host is not either",
        "sk-learn-contrib-estimator-checks",
        "<email-3> asked <secret-1>",
        "NO 12 services, GB29 was no account",
    ],
)
def test_what_must_stay(text: str) -> None:
    assert text == redact(text, Counting())


def test_the_same_value_is_the_same_token_and_others_are_not() -> None:
    numbering = Counting()
    first = redact("a@example.com b@example.com a@example.com", numbering)

    assert "<email-1> <email-2> <email-1>" == first
    assert "<email-2>" == redact("b@example.com", numbering)


def test_redacting_again_changes_nothing() -> None:
    once = redact(f"password={AWS} bob@example.com postgresql://u:p4ssw0rd@h/d", Counting())

    assert once == redact(once, Counting())


def test_json_is_redacted_in_depth_and_by_the_names_of_secrets() -> None:
    said = {
        "text": ["bob@example.com", {"password": "x", "tokens": 12, "api_key": ""}],
        "bob@example.com": True,
        "share": 0.5,
        "token": None,
    }

    assert {
        "text": ["<email-1>", {"password": "<secret-1>", "tokens": 12, "api_key": ""}],
        "<email-1>": True,
        "share": 0.5,
        "token": None,
    } == redact_json(said, Counting())


def test_a_service_may_name_patterns_of_its_own() -> None:
    customer = re.compile(r"\bCUST-\d+\b")

    assert "<private-1> paid" == redact("CUST-77 paid", Counting(), [customer])


def test_check_digits() -> None:
    assert luhn("4111111111111111")
    assert not luhn("4111111111111112")
    assert iban("GB29NWBK60161331926819")
    assert not iban("GB29NWBK60161331926818")


@pytest.mark.parametrize(
    "unit", ["a_", "token=", "eyJaaaaaaaa-", "a@a", "1 ", "a.", "sk-", "://:", "-----BEGIN "]
)
def test_a_hostile_line_costs_no_more_than_its_length(unit: str) -> None:
    """Eight times the length may take a good deal more than eight times, never the square."""

    def seconds(length: int) -> float:
        text = unit * (length // len(unit))
        begun = time.process_time()
        redact(text, Counting())
        return time.process_time() - begun

    seconds(1000)

    assert seconds(80_000) < 30 * max(seconds(10_000), 0.01)


ROUNDS = 5


@pytest.mark.parametrize("kind", [*private.SECRETS, *private.PERSONAL])
def test_no_kind_of_private_data_stays(kind: str) -> None:
    make, line = (private.SECRETS | private.PERSONAL)[kind]
    rng = random.Random(kind)
    for _ in range(ROUNDS):
        value = make(rng)
        clean = redact(line.format(value), Counting())

        assert value not in clean, clean
        assert 1 == len(TOKEN.findall(clean)), clean
        assert redact(clean, Counting()) == clean


def test_there_are_enough_kinds() -> None:
    assert len(private.SECRETS) >= 40
    assert len(private.PERSONAL) >= 15


def test_a_thousand_ordinary_lines_come_through_unchanged() -> None:
    lines = list(private.ordinary(1000))
    changed = [(line, clean) for line in lines if (clean := redact(line, Counting())) != line]

    assert [] == changed
    assert "\n".join(lines) == redact("\n".join(lines), Counting())


def test_a_value_that_is_taken_out_in_json_is_found_by_its_name() -> None:
    said = {"first_name": "Ana", "zip_code": "10115", "title": "first_name is empty", "lat": 12}

    assert {
        "first_name": "<name-1>",
        "zip_code": "<postcode-1>",
        "title": "first_name is empty",
        "lat": 12,
    } == redact_json(said, Counting())
