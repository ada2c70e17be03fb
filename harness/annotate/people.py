"""Who may do what. Roles live in the store, by (issuer, subject) of the sign-in, and are read anew at every write."""

from __future__ import annotations

import getpass
import hashlib
import secrets
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, insert, select, update

from harness.annotate import schema
from harness.annotate.store import Refused, Store
from harness.errors import UsageError

Role = Literal["annotator", "lead"]
LOCAL = "local"
"""The issuer of the one person who works on this machine without signing in."""
INVITED_S = 7 * 86400.0
_MAY = {"annotator": {"annotator", "lead"}, "lead": {"lead"}}


@dataclass(frozen=True, slots=True)
class Person:
    """Someone known to the store. `role` is annotator, lead (who may also annotate) or revoked."""

    id: str
    name: str
    role: str
    issuer: str
    subject: str


def operator(store: Store, name: str | None = None) -> Person:
    """The one local person: whoever runs the command line, or the app on loopback. A lead from the first use on.

    For a team's app, which has sign-in, use `signed_in`.
    """
    subject = name or _user()
    if found := signed_in(store, LOCAL, subject):
        return found
    with store.write() as tx:
        known = _known(tx, LOCAL, subject)
        return known or _add(store, tx, LOCAL, subject, subject, "lead")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user in this container
        return "operator"


def signed_in(store: Store, issuer: str, subject: str) -> Person | None:
    """The person of a sign-in, or None if nobody invited them yet."""
    with store.read() as tx:
        return _known(tx, issuer, subject)


def invite(store: Store, lead: str, role: Role) -> str:
    """A token that makes one person, once and within a week, an annotator or a lead."""
    if role not in _MAY:
        raise UsageError(f"role '{role}' is neither annotator nor lead.")
    token = secrets.token_urlsafe(24)
    with store.write() as tx:
        require(tx, lead, "lead", "invite")
        row = {"digest": _digest(token), "role": role, "expires": store.clock() + INVITED_S}
        tx.execute(insert(schema.invitation).values(row))
        store.audit(tx, lead, "invite", {"role": role})
    return token


def redeem(store: Store, token: str, issuer: str, subject: str, name: str) -> Person:
    """Make the one who signed in a person of the store. Raises Refused for a token that is unknown, used or too old."""
    if issuer == LOCAL:
        raise UsageError(f"'{LOCAL}' is not an issuer that people sign in with.")
    invited = schema.invitation
    with store.write() as tx:
        row = tx.execute(
            select(invited).where(invited.c.digest == _digest(token)).with_for_update(key_share=True)
        ).first()
        if row is None or row.used_by is not None or row.expires < store.clock():
            raise Refused("this invitation is unknown, used or expired. Ask for a new one.", "redeem", "", {})
        if _known(tx, issuer, subject):
            raise UsageError("you are known here already.")
        found = _add(store, tx, issuer, subject, name, row.role)
        tx.execute(update(invited).where(invited.c.digest == row.digest).values(used_by=found.id))
        return found


def set_role(store: Store, lead: str, person: str, role: str) -> None:
    """Give another role, or take it (`revoked`); the next write of that person sees it. The last lead stays one."""
    if role not in (*_MAY, "revoked"):
        raise UsageError(f"role '{role}' is none of annotator, lead, revoked.")
    table = schema.person
    with store.write() as tx:
        require(tx, lead, "lead", "set_role")
        leads = tx.execute(select(table.c.id).where(table.c.role == "lead").with_for_update(key_share=True)).scalars()
        if role != "lead" and set(leads) == {person}:
            raise UsageError("this is the only lead: make another one first.")
        if tx.execute(update(table).where(table.c.id == person).values(role=role)).rowcount != 1:
            raise UsageError("there is no such person.")
        store.audit(tx, lead, "set_role", {"person": person, "role": role})


def everyone(store: Store, lead: str) -> list[Person]:
    """All people, for a lead."""
    with store.read() as tx:
        require(tx, lead, "lead", "everyone")
        return [_person(row) for row in tx.execute(select(schema.person).order_by(schema.person.c.created))]


def require(tx: Connection, person: str, role: Role, action: str, lock: bool = False) -> Person:
    """The person, if they may act in `role` now. With `lock` their other writes wait. Raises Refused otherwise."""
    query = select(schema.person).where(schema.person.c.id == person)
    row = tx.execute(query.with_for_update(key_share=True) if lock else query).first()
    if row is None or row.role not in _MAY[role]:
        who = f"a {role} of this store" if row is None or row.role != "revoked" else "active any more: ask a lead"
        raise Refused(f"you are not {who}.", action, person)
    return _person(row)


def _known(tx: Connection, issuer: str, subject: str) -> Person | None:
    table = schema.person
    row = tx.execute(select(table).where(table.c.issuer == issuer, table.c.subject == subject)).first()
    return None if row is None else _person(row)


def _add(store: Store, tx: Connection, issuer: str, subject: str, name: str, role: str) -> Person:
    shown = " ".join("".join(one for one in name if one.isprintable()).split())[:80] or "?"
    found = Person(secrets.token_hex(16), shown, role, issuer, subject)
    row = {"id": found.id, "name": shown, "role": role, "issuer": issuer, "subject": subject}
    tx.execute(insert(schema.person).values(**row, created=store.clock()))
    store.audit(tx, found.id, "join", {"role": role})
    return found


def _person(row: Any) -> Person:
    return Person(row.id, row.name, row.role, row.issuer, row.subject)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
