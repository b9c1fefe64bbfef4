"""Accounts and tokens."""

from datetime import timedelta

import pytest

from incidents import errors, people, schema
from incidents.models import Person, Platform
from tests.incidents.builders import ADMIN, APPROVER, World

PHONE = Person(Platform.TELEGRAM, "77")
ANN = Person(Platform.WEB, "ann")
DAY = timedelta(days=1)


def test_an_account_speaks_with_anothers_voice_until_unlinked(world: World) -> None:
    world.identities.link(PHONE, APPROVER, ADMIN)
    assert {PHONE: APPROVER} == world.identities.all()
    world.identities.unlink(PHONE)

    assert {} == world.identities.all()


def test_a_bot_that_runs_hears_of_a_link_when_it_looks_again(world: World) -> None:
    voices = people.Voices(world.identities, seconds=0)
    world.identities.link(PHONE, APPROVER, ADMIN)
    before = dict(voices)
    voices.refresh()

    assert ({}, {PHONE: APPROVER}) == (before, dict(voices))


def test_voices_make_no_chains_and_no_circles(world: World) -> None:
    world.identities.link(PHONE, APPROVER, ADMIN)
    for account, voice in ((APPROVER, PHONE), (ANN, PHONE), (APPROVER, ANN), (ANN, ANN)):
        with pytest.raises(errors.WrongState):
            world.identities.link(account, voice, ADMIN)


def test_a_token_opens_the_door_until_it_is_revoked(world: World) -> None:
    secret = world.tokens.add("ann", ANN)

    assert ANN == world.tokens.check(secret)
    assert world.tokens.check(secret + "x") is None
    assert ["ann"] == [token.name for token in world.tokens.list()]
    assert 1 == world.tokens.revoke("ann")
    assert world.tokens.check(secret) is None
    assert [] == list(world.tokens.list())


def test_a_secret_is_not_stored(world: World) -> None:
    secret = world.tokens.add("ann", ANN)
    with world.store.read() as tx:
        row = tx.run(schema.token.select()).one()

    assert secret not in str(tuple(row))


def test_a_one_time_token_becomes_one_session(world: World) -> None:
    secret = world.tokens.add("operator", ANN, one_time=True)
    assert world.tokens.check(secret) is None
    session = world.tokens.redeem(secret, DAY)

    assert session is not None
    assert ANN == world.tokens.check(session)
    assert world.tokens.redeem(secret, DAY) is None
    assert world.tokens.redeem(session, DAY) is None


def test_tokens_and_sessions_run_out(world: World) -> None:
    secret = world.tokens.add("ann", ANN, expires=DAY)
    session = world.tokens.redeem(secret, timedelta(hours=1))
    assert session is not None
    world.clock.pass_(hours=1)
    assert (None, ANN) == (world.tokens.check(session), world.tokens.check(secret))
    world.clock.pass_(hours=23)

    assert world.tokens.check(secret) is None
    assert world.tokens.redeem(secret, DAY) is None


def test_revoking_a_name_ends_its_sessions_too(world: World) -> None:
    session = world.tokens.redeem(world.tokens.add("ann", ANN), DAY)
    assert session is not None

    assert 2 == world.tokens.revoke("ann")
    assert world.tokens.check(session) is None
