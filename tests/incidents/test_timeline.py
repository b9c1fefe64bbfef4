"""The timeline is append-only, gapless and chained, and the database guards it too."""

import threading

import pytest
from sqlalchemy import delete, text, update
from sqlalchemy.exc import DBAPIError

from incidents import chain, errors, schema
from incidents.models import MACHINE, EntryKind
from incidents.timeline import Draft
from tests.incidents.builders import RESPONDER, START, World

T = schema.timeline_entry


def note(text: str) -> Draft:
    return Draft(EntryKind.NOTE, {"text": text})


def test_an_entry_names_its_predecessor_and_what_it_says(world: World) -> None:
    incident = world.open()
    first, second = (
        world.timeline.entries(incident.number)[0],
        world.timeline.append(incident.number, note("hello"), RESPONDER),
    )

    assert chain.FIRST == first.previous
    assert first.hash == second.previous
    assert chain.content_hash({"text": "hello"}) == second.content_hash
    assert (2, second.hash) == world.timeline.head(incident.number)
    assert world.timeline.verify(incident.number) is None


def test_sequences_have_no_gaps_however_many_write_at_once(world: World) -> None:
    number = world.open().number
    threads = [
        threading.Thread(target=world.timeline.append, args=(number, note(str(n)), MACHINE))
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert list(range(1, 14)) == [e.sequence for e in world.timeline.entries(number)]
    assert world.timeline.verify(number) is None


def test_content_can_be_purged_and_the_chain_still_holds(world: World) -> None:
    number = world.open().number
    secret = world.timeline.append(number, note("do not keep"), RESPONDER)
    world.timeline.append(number, note("keep"), RESPONDER)
    world.timeline.purge(secret.id)

    assert {"purged": True} == world.timeline.entry(secret.id).content
    assert secret.hash == world.timeline.entry(secret.id).hash
    assert world.timeline.verify(number) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"content": {"text": "other"}},
        {"actor": MACHINE},
        {"sequence": 9},
        {"content": None, "hash": "0" * 64},
        {"kind": EntryKind.APPROVED},
    ],
)
def test_the_database_refuses_to_change_an_entry(world: World, changed: dict[str, object]) -> None:
    entry = world.timeline.append(world.open().number, note("said"), RESPONDER)

    with pytest.raises(DBAPIError, match="append-only"), world.store.write() as tx:
        tx.run(update(T).where(T.c.id == entry.id).values(**changed))

    assert entry == world.timeline.entry(entry.id)


def test_the_database_refuses_to_remove_an_entry(world: World) -> None:
    entry = world.timeline.append(world.open().number, note("said"), RESPONDER)

    with pytest.raises(DBAPIError, match="append-only"), world.store.write() as tx:
        tx.run(delete(T).where(T.c.id == entry.id))

    assert entry == world.timeline.entry(entry.id)


def test_the_database_refuses_to_replace_an_entry(world: World) -> None:
    world.open()
    columns = '"id","incident","sequence","kind","at","actor","content_hash","previous","hash"'
    values = f"SELECT {columns} FROM timeline_entry"
    replace = "INSERT OR REPLACE" if "sqlite" in str(world.store._engine.url) else "INSERT"

    with pytest.raises(DBAPIError), world.store.write() as tx:
        tx.run(text(f"{replace} INTO timeline_entry ({columns}) {values}"))


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ('UPDATE timeline_entry SET content = \'{"text":"forged"}\' WHERE sequence = 2', 2),
        ("UPDATE timeline_entry SET actor = 'slack:U9' WHERE sequence = 3", 3),
        ("DELETE FROM timeline_entry WHERE sequence = 2", 2),
        ("UPDATE timeline_entry SET hash = previous WHERE sequence = 1", 1),
    ],
)
def test_tampering_behind_the_guards_is_found(world: World, statement: str, broken: int) -> None:
    number = world.open(stage=None).number
    for said in ("one", "two"):
        world.timeline.append(number, note(said), RESPONDER)
    with world.store.write() as tx:
        if tx.connection.dialect.name == "sqlite":
            for guard in ("keeps", "stays"):
                tx.run(text(f"DROP TRIGGER timeline_entry_{guard}"))
        else:
            tx.run(text("DROP FUNCTION timeline_entry_guard CASCADE"))
        tx.run(text("DELETE FROM delivery"))
        tx.run(text(statement))

    assert broken == world.timeline.verify(number)


def test_content_reads_back_as_it_was_hashed(world: World) -> None:
    said = {"float": 0.1, "big": 10**12, "nested": {"b": [1, None, True], "a": "ü \x00 \ud800"}}
    entry = world.timeline.append(world.open().number, Draft(EntryKind.NOTE, said), MACHINE)

    assert said == world.timeline.entry(entry.id).content
    assert world.timeline.verify(entry.incident) is None


def test_secrets_never_reach_the_timeline(world: World) -> None:
    number = world.open().number
    token = "ghp_" + "a1B2" * 9
    world.timeline.append(number, note(f"from bob@example.com with {token}"), RESPONDER)
    entry = world.timeline.append(number, note("bob@example.com, ann@example.com"), RESPONDER)

    assert "<email-1>, <email-2>" == entry.content["text"]
    assert (
        "from <email-1> with <github-token-1>"
        == (world.timeline.entries(number)[-2].content["text"])
    )


def test_what_a_human_must_do_is_redacted_in_the_row_too(world: World) -> None:
    world.open()
    told = world.incidents.needs_human(1, "Ask bob@example.com.").needs_human

    assert "Ask <email-1>." == told
    item = world.action_items.add(1, "Thank bob@example.com", "@a", START, None, RESPONDER)
    assert "Thank <email-1>" == item.text


def test_tokens_are_numbered_per_incident(world: World) -> None:
    numbers = [world.open(key, title=f"{key}@example.com").title for key in ("a", "b")]

    assert ["<email-1>", "<email-1>"] == numbers


def test_an_entry_is_said_once_when_asked_to(world: World) -> None:
    number = world.open().number
    draft = Draft(EntryKind.NOTE, {"text": "x"}, "one")

    assert world.timeline.append_once(number, draft, MACHINE) is not None
    assert world.timeline.append_once(number, draft, MACHINE) is None


def test_what_does_not_exist_is_not_found(world: World) -> None:
    with pytest.raises(errors.NotFound, match="INC-9"):
        world.timeline.append(9, note("x"), MACHINE)
    with pytest.raises(errors.NotFound):
        world.timeline.entry(9)
    with pytest.raises(errors.NotFound):
        world.timeline.purge(9)
