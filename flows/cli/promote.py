"""``linreg promote`` and ``rollback``: which version is in use, moved by hand and on the record."""

import argparse
from typing import Any

from flows.tracking import registry
from flows.tracking.stores.store import open_store
from linreg.errors import UserError


def promote(args: argparse.Namespace) -> tuple[object, str]:
    """Make a version the champion."""
    ref = registry.parse_ref(args.ref)
    if ref.version is None:
        raise UserError(f"'{args.ref}' names no version: write NAME/VERSION, as `linreg models {ref.name}` lists them")
    store = open_store(create=False)
    return _result(ref.name, registry.promote(store, ref.name, ref.version, why=args.why))


def rollback(args: argparse.Namespace) -> tuple[object, str]:
    """Go back to the champion before the current one."""
    ref = registry.parse_ref(args.name)
    if args.name != ref.name:
        raise UserError(f"'{args.name}' is more than a name: write linreg rollback {ref.name}")
    store = open_store(create=False)
    return _result(ref.name, registry.rollback(store, ref.name, why=args.why))


def _result(name: str, record: dict[str, Any]) -> tuple[object, str]:
    document = {"name": name, "from": record["from"], "to": record["to"], "record": record}
    before = f"version {record['from']}" if record["from"] else "none"
    return document, f"{name}: the champion is version {record['to']}, before it was {before}"
