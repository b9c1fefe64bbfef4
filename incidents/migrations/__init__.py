"""The history of the schema, one file per revision; `Store.migrate` runs it."""
