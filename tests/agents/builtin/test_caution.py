"""What a person must look at before it goes out: schemas, data formats, deletions."""

import pytest

from agents.builtin import caution


def added(line: str, path: str = "shop/cart.py") -> str:
    return f"--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-old\n+{line}\n"


@pytest.mark.parametrize(
    "line",
    [
        'db.execute("ALTER TABLE orders ADD COLUMN note text")',
        'cursor.execute("drop table carts")',
        'db.run("CREATE UNIQUE INDEX one ON carts (id)")',
        'op.drop_column("orders", "note")',
        "migrations.RunPython(forget)",
        "Base.metadata.create_all(engine)",
        'db.execute("DELETE FROM carts WHERE age > 30")',
        'db.execute("TRUNCATE carts")',
        "Cart.objects.filter(old=True).delete()",
        "carts.delete_many({})",
        "await carts.deleteMany({})",
        "client.flushall()",
        "shutil.rmtree(folder)",
        "Path(name).unlink(missing_ok=True)",
        "rm -rf /var/lib/shop/carts",
    ],
)
def test_lines_that_change_a_schema_or_delete_data(line: str) -> None:
    assert (f"shop/cart.py: {line}",) == caution.delicate(["shop/cart.py"], added(line))


@pytest.mark.parametrize(
    "line",
    [
        'total = cart.get("total", 0)',
        "logger.info('created the index of carts')",
        "del cart[place]",
        "return deleted",
        "update_profile(user)",
    ],
)
def test_ordinary_lines_are_not_delicate(line: str) -> None:
    assert () == caution.delicate(["shop/cart.py"], added(line))


def test_what_is_taken_away_or_lies_in_a_test_deletes_nothing() -> None:
    removed = added("fine").replace("-old", "-DELETE FROM carts")
    assert () == caution.delicate(["shop/cart.py"], removed)
    test = added("db.execute('DELETE FROM carts')", "tests/test_cart.py")
    assert () == caution.delicate(["tests/test_cart.py"], test)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("shop/migrations/0002_note.py", True),
        ("db/schema.rb", True),
        ("sql/orders.sql", True),
        ("poetry.lock", True),
        ("shop/cart.py", False),
    ],
)
def test_paths_of_schemas_and_lock_files(path: str, found: bool) -> None:
    assert ((path,) if found else ()) == caution.delicate([path], "")
