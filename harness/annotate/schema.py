"""The tables of the annotation store. What must never happen twice is a constraint here, not a check in a reader.

Votes, skips, adjudications and exclusions are append-only: a change is a further numbered row. Only a presentation
(who works on what until when) and a draft are overwritten.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

SCHEMA_VERSION = 1
"""Raised with every change of a table. A store of another version is refused (store.open_store)."""


class Json(TypeDecorator[Any]):
    """A JSON value as ASCII text: NUL and halves of surrogate pairs, which model output has, survive in every database."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> str | None:
        return None if value is None else json.dumps(value)

    def process_result_value(self, value: str | None, dialect: Any) -> Any:
        return None if value is None else json.loads(value)


metadata = MetaData()

meta = Table("meta", metadata, Column("key", String(40), primary_key=True), Column("value", Text, nullable=False))

person = Table(
    "person",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("issuer", String(200), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("name", Json, nullable=False),
    Column("role", String(20), nullable=False),
    Column("created", Float, nullable=False),
    UniqueConstraint("issuer", "subject"),
    CheckConstraint("role in ('annotator', 'lead', 'revoked')"),
)

invitation = Table(
    "invitation",
    metadata,
    Column("digest", String(64), primary_key=True),  # of the token: who reads the database cannot use it
    Column("role", String(20), nullable=False),
    Column("expires", Float, nullable=False),
    Column("used_by", ForeignKey("person.id"), unique=True),
)

campaign = Table(
    "campaign",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("kind", String(10), nullable=False),
    Column("title", Json, nullable=False),
    Column("open", Integer, nullable=False),
    Column("task", Json, nullable=False),  # name, version, digest, system prompts
    Column("rubric", Json, nullable=False),
    Column("rubric_digest", String(64), nullable=False),
    Column("settings", Json, nullable=False),
    Column("created", Float, nullable=False),
    Column("created_by", ForeignKey("person.id"), nullable=False),
    CheckConstraint("kind in ('rate', 'compare')"),
)

unit = Table(
    "unit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("campaign", ForeignKey("campaign.id"), nullable=False),
    Column("purpose", String(10), nullable=False),
    Column("active", Integer, nullable=False),
    Column("language", String(2), nullable=False),
    Column("item", Json, nullable=False),
    Column("x", Json, nullable=False),  # a Side: system, run, sample, text
    Column("y", Json),
    Column("content", String(64), nullable=False),  # fingerprint of item and texts: what a vote is about
    Column("expected", Json),  # of gold and attention units: the labels they should get
    UniqueConstraint("campaign", "content", "purpose"),
    CheckConstraint("purpose in ('real', 'gold', 'attention')"),
    Index("unit_served", "campaign", "purpose", "active", "language"),  # covers what is read to choose the next one
)

presentation = Table(
    "presentation",
    metadata,
    Column("token", String(43), primary_key=True),
    Column("campaign", ForeignKey("campaign.id"), nullable=False),
    Column("unit", ForeignKey("unit.id"), nullable=False),
    Column("person", ForeignKey("person.id"), nullable=False),
    Column("repeat", Integer, nullable=False),  # 0, or 1 for the planned second time with sides swapped
    Column("swapped", Integer, nullable=False),  # 1: y stands on the left
    Column("state", String(10), nullable=False),
    Column("slot", Integer),  # 1..overlap of its unit; none: not counted (extra, gold, repeat, lapsed, skipped)
    Column("until", Float, nullable=False),
    Column("opened", Float, nullable=False),
    Column("number", Integer, nullable=False),  # the how manieth of this person in this campaign
    UniqueConstraint("unit", "person", "repeat"),
    UniqueConstraint("unit", "slot"),
    UniqueConstraint("campaign", "person", "number"),
    CheckConstraint("state in ('open', 'done', 'skipped', 'lapsed')"),
    CheckConstraint("slot is null or slot >= 1"),
    Index(
        "one_open_each",
        "campaign",
        "person",
        unique=True,
        sqlite_where=text("state = 'open'"),
        postgresql_where=text("state = 'open'"),
    ),
)

revision = Table(
    "revision",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("presentation", ForeignKey("presentation.token"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("kind", String(10), nullable=False),
    Column("answers", Json, nullable=False),
    Column("content", String(64), nullable=False),
    Column("guideline", Json, nullable=False),  # language, version, digest of what the rater had at hand
    Column("seconds", Float, nullable=False),
    Column("created", Float, nullable=False),
    UniqueConstraint("presentation", "number"),
    CheckConstraint("kind in ('vote', 'skip', 'withdrawn')"),
)

draft = Table(
    "draft",
    metadata,
    Column("presentation", ForeignKey("presentation.token"), primary_key=True),
    Column("answers", Json, nullable=False),
    Column("saved", Float, nullable=False),
)

flag = Table(
    "flag",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("unit", ForeignKey("unit.id"), nullable=False),
    Column("person", ForeignKey("person.id"), nullable=False),
    Column("reason", String(20), nullable=False),
    Column("comment", Json, nullable=False),
    Column("created", Float, nullable=False),
    UniqueConstraint("unit", "person", "reason"),
)

adjudication = Table(
    "adjudication",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("unit", ForeignKey("unit.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("person", ForeignKey("person.id"), nullable=False),
    Column("answers", Json, nullable=False),
    Column("created", Float, nullable=False),
    UniqueConstraint("unit", "number"),
)

exclusion = Table(
    "exclusion",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("campaign", ForeignKey("campaign.id"), nullable=False),
    Column("person", ForeignKey("person.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("excluded", Integer, nullable=False),
    Column("reason", Json, nullable=False),
    Column("by", ForeignKey("person.id"), nullable=False),
    Column("created", Float, nullable=False),
    UniqueConstraint("campaign", "person", "number"),
)

attempt = Table(
    "attempt",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("person", ForeignKey("person.id"), nullable=False),
    Column("rubric_digest", String(64), nullable=False),
    Column("kind", String(10), nullable=False),
    Column("language", String(2), nullable=False),
    Column("number", Integer, nullable=False),  # 0: granted by a lead
    Column("exercises", Json, nullable=False),
    Column("agreement", Float),  # share of labels as agreed; none until finished
    Column("note", Json, nullable=False),
    Column("created", Float, nullable=False),
    UniqueConstraint("person", "rubric_digest", "kind", "language", "number"),
)

attempt_answer = Table(
    "attempt_answer",
    metadata,
    Column("attempt", ForeignKey("attempt.id"), primary_key=True),
    Column("exercise", String(64), primary_key=True),
    Column("labels", Json, nullable=False),
    Column("created", Float, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("person", String(32), nullable=False),
    Column("action", String(40), nullable=False),
    Column("detail", Json, nullable=False),
)
