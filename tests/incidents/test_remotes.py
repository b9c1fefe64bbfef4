"""What git is told for an address, and what it is never told."""

import base64
from pathlib import Path

import pytest
from pydantic import SecretStr

from incidents import errors, remotes
from incidents.remotes import Credentials, Kind

BOTH = Credentials(Path("/keys/id"), Path("/data/known_hosts"), SecretStr("t0ken"))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/srv/git/checkout", Kind.OPEN),
        ("../checkout", Kind.OPEN),
        ("./host:path", Kind.OPEN),
        ("file:///srv/git/checkout", Kind.OPEN),
        ("git@example.org:team/checkout.git", Kind.SSH),
        ("example.org:checkout.git", Kind.SSH),
        ("ssh://git@example.org:2222/checkout.git", Kind.SSH),
        ("https://example.org/checkout.git", Kind.HTTP),
    ],
)
def test_an_address_is_read_as_git_reads_it(address: str, expected: Kind) -> None:
    assert expected == remotes.kind(address)


def test_a_folder_is_given_no_secret() -> None:
    assert {} == BOTH.environment("/srv/git/checkout")


def test_without_secrets_nothing_is_told() -> None:
    assert {} == Credentials().environment("git@example.org:team/checkout.git")
    assert {} == Credentials().environment("https://example.org/checkout.git")


def test_a_key_is_the_only_identity_and_no_question_is_asked() -> None:
    told = BOTH.environment("git@example.org:team/checkout.git")["GIT_SSH_COMMAND"]

    for part in ("-i /keys/id", "BatchMode=yes", "IdentitiesOnly=yes", "-F /dev/null"):
        assert part in told
    assert "UserKnownHostsFile=/data/known_hosts" in told


def test_a_token_goes_to_its_host_alone() -> None:
    told = BOTH.environment("https://ana@example.org:8443/team/checkout.git")

    assert "http.https://example.org:8443/.extraHeader" == told["GIT_CONFIG_KEY_0"]
    sent = told["GIT_CONFIG_VALUE_0"].removeprefix("Authorization: Basic ")
    assert b"halon:t0ken" == base64.b64decode(sent)
    assert ("http.followRedirects", "false") == (
        told["GIT_CONFIG_KEY_1"],
        told["GIT_CONFIG_VALUE_1"],
    )


def test_a_token_never_travels_in_the_open() -> None:
    with pytest.raises(errors.BadSettings, match="unencrypted"):
        BOTH.environment("http://example.org/checkout.git")


def test_a_token_is_not_shown_with_its_credentials() -> None:
    assert "t0ken" not in repr(BOTH)
