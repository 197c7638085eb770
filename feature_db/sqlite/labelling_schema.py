"""Tables of the labelling side: append-only events, views of the current state, people, queues and leases.

What is current is always derived from the events:

    live      an event without an undo that names it
    current   a live label or edit that no live edit supersedes
"""

from __future__ import annotations

from sqlite_utils import Database

from feature_db.sqlite.schema import migrations

__all__ = ["EVENT_KINDS"]

EVENT_KINDS = ("label", "edit", "vote", "skip", "flag", "adjudicate", "undo", "draft")

_UNDONE = "EXISTS (SELECT 1 FROM label_events AS u WHERE u.supersedes = {0}.uid AND u.kind = 'undo')"


def _replaced(kinds: str) -> str:
    undone = _UNDONE.format("n")
    return (
        f"EXISTS (SELECT 1 FROM label_events AS n WHERE n.supersedes = e.uid AND n.kind IN ({kinds}) "
        f"AND NOT {undone})"
    )


@migrations()
def m003_labelling(db: Database) -> None:
    """Events and their views, people, categories, queues, assignments."""
    kinds = ", ".join(f"'{kind}'" for kind in EVENT_KINDS)
    live = f"NOT {_UNDONE.format('e')}"
    newer = "(n.time > e.time OR (n.time = e.time AND n.uid > e.uid))"
    for statement in (
        f"""CREATE TABLE label_events (
            seq INTEGER PRIMARY KEY,
            uid TEXT NOT NULL UNIQUE,
            feature INTEGER NOT NULL REFERENCES features (id),
            annotator TEXT NOT NULL CHECK (annotator <> ''),
            kind TEXT NOT NULL CHECK (kind IN ({kinds})),
            text TEXT,
            category TEXT,
            verdict INTEGER,
            confidence REAL CHECK (confidence BETWEEN 0 AND 1),
            note TEXT NOT NULL DEFAULT '',
            data TEXT NOT NULL DEFAULT '{{}}' CHECK (json_valid(data)),
            about TEXT REFERENCES label_events (uid) DEFERRABLE INITIALLY DEFERRED,
            supersedes TEXT REFERENCES label_events (uid) DEFERRABLE INITIALLY DEFERRED,
            time INTEGER NOT NULL,
            model INTEGER NOT NULL DEFAULT 1 REFERENCES models (id),
            CHECK (kind NOT IN ('label', 'edit') OR text IS NOT NULL),
            CHECK (kind NOT IN ('label', 'edit', 'adjudicate') OR verdict IS NULL OR verdict BETWEEN 1 AND 5),
            CHECK (kind <> 'vote' OR (verdict IN (-1, 1) AND about IS NOT NULL)),
            CHECK (kind NOT IN ('edit', 'undo') OR supersedes IS NOT NULL)
        ) STRICT""",
        "CREATE INDEX label_events_feature ON label_events (feature, kind)",
        "CREATE INDEX label_events_supersedes ON label_events (supersedes) WHERE supersedes IS NOT NULL",
        "CREATE INDEX label_events_about ON label_events (about) WHERE about IS NOT NULL",
        "CREATE INDEX label_events_annotator ON label_events (annotator, time)",
        """CREATE TRIGGER label_events_no_update BEFORE UPDATE ON label_events BEGIN
            SELECT raise(ABORT, 'label_events is append-only: add an edit or an undo event');
        END""",
        """CREATE TRIGGER label_events_no_delete BEFORE DELETE ON label_events BEGIN
            SELECT raise(ABORT, 'label_events is append-only: add an edit or an undo event');
        END""",
        f"""CREATE VIEW current_labels AS SELECT e.* FROM label_events AS e
            WHERE e.kind IN ('label', 'edit') AND {live} AND NOT {_replaced("'edit'")}""",
        f"""CREATE VIEW current_votes AS SELECT e.* FROM label_events AS e
            WHERE e.kind = 'vote' AND {live} AND NOT {_replaced("'vote'")}""",
        f"""CREATE VIEW current_flags AS SELECT e.* FROM label_events AS e
            WHERE e.kind = 'flag' AND {live}""",
        # Merged stores may each hold an adjudication: the later one stands, both stay in the history.
        f"""CREATE VIEW current_adjudications AS SELECT e.* FROM label_events AS e
            WHERE e.kind = 'adjudicate' AND {live} AND NOT EXISTS (
                SELECT 1 FROM label_events AS n WHERE n.feature = e.feature AND n.kind = 'adjudicate'
                AND {newer} AND NOT {_UNDONE.format("n")}
            )""",
        f"""CREATE VIEW current_drafts AS SELECT e.* FROM label_events AS e
            WHERE e.kind = 'draft' AND NOT EXISTS (
                SELECT 1 FROM label_events AS n WHERE n.feature = e.feature AND n.annotator = e.annotator
                AND n.kind IN ('draft', 'label', 'edit', 'skip') AND {newer}
            )""",
        """CREATE TRIGGER label_events_state AFTER INSERT ON label_events
            WHEN new.kind IN ('label', 'edit', 'undo', 'adjudicate') BEGIN
            UPDATE features SET n_labels = (SELECT count(*) FROM current_labels WHERE feature = new.feature)
                WHERE id = new.feature;
            DELETE FROM labels_fts WHERE rowid IN (
                SELECT seq FROM label_events WHERE feature = new.feature
                AND kind IN ('label', 'edit', 'adjudicate'));
            INSERT INTO labels_fts (rowid, text, feature)
                SELECT seq, text, feature FROM current_labels WHERE feature = new.feature
                UNION ALL
                SELECT seq, text, feature FROM current_adjudications
                WHERE feature = new.feature AND text IS NOT NULL;
        END""",
        """CREATE TABLE people (
            name TEXT PRIMARY KEY CHECK (name <> ''),
            role TEXT NOT NULL CHECK (role IN ('reader', 'annotator', 'adjudicator', 'admin')),
            added INTEGER NOT NULL
        ) STRICT""",
        """CREATE TABLE categories (
            name TEXT PRIMARY KEY CHECK (name <> ''),
            position INTEGER NOT NULL
        ) STRICT""",
        """INSERT INTO categories (name, position) VALUES
            ('style', 0), ('safety', 1), ('content', 2), ('format', 3), ('language', 4), ('other', 5)""",
        """CREATE TABLE queues (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            made_from TEXT NOT NULL CHECK (json_valid(made_from)),
            overlap INTEGER NOT NULL CHECK (overlap > 0),
            lease_seconds INTEGER NOT NULL CHECK (lease_seconds > 0),
            made_by TEXT NOT NULL,
            made INTEGER NOT NULL
        ) STRICT""",
        """CREATE TABLE queue_items (
            queue INTEGER NOT NULL REFERENCES queues (id),
            position INTEGER NOT NULL,
            feature INTEGER NOT NULL REFERENCES features (id),
            wanted INTEGER NOT NULL,
            done INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (queue, position),
            UNIQUE (queue, feature)
        ) STRICT""",
        # A claim looks at unfinished items only, so a long queue does not slow down as it is worked off.
        "CREATE INDEX queue_items_open ON queue_items (queue, position) WHERE done < wanted",
        """CREATE TABLE assignments (
            id INTEGER PRIMARY KEY,
            queue INTEGER NOT NULL REFERENCES queues (id),
            feature INTEGER NOT NULL REFERENCES features (id),
            annotator TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('leased', 'released', 'done', 'skipped')),
            leased INTEGER NOT NULL,
            expires INTEGER NOT NULL,
            finished INTEGER,
            UNIQUE (queue, feature, annotator)
        ) STRICT""",
        "CREATE INDEX assignments_annotator ON assignments (queue, annotator, state)",
        """CREATE TRIGGER assignments_done AFTER UPDATE OF state ON assignments
            WHEN (new.state = 'done') <> (old.state = 'done') BEGIN
            UPDATE queue_items SET done = done + iif(new.state = 'done', 1, -1)
                WHERE queue = new.queue AND feature = new.feature;
        END""",
    ):
        db.execute(statement)


@migrations()
def m005_settled_names(db: Database) -> None:
    """A settled feature is found by the text it was settled on, not by the labels that were passed over."""
    settled = "SELECT seq, text, feature FROM current_adjudications WHERE text <> ''"
    db.execute("DROP TRIGGER label_events_state")
    db.execute(
        f"""CREATE TRIGGER label_events_state AFTER INSERT ON label_events
            WHEN new.kind IN ('label', 'edit', 'undo', 'adjudicate') BEGIN
            UPDATE features SET n_labels = (SELECT count(*) FROM current_labels WHERE feature = new.feature)
                WHERE id = new.feature;
            DELETE FROM labels_fts WHERE rowid IN (
                SELECT seq FROM label_events WHERE feature = new.feature
                AND kind IN ('label', 'edit', 'adjudicate'));
            INSERT INTO labels_fts (rowid, text, feature)
                {settled} AND feature = new.feature
                UNION ALL
                SELECT seq, text, feature FROM current_labels
                WHERE feature = new.feature AND NOT EXISTS ({settled} AND feature = new.feature);
        END"""
    )
    db.execute(
        "DELETE FROM labels_fts WHERE rowid IN (SELECT seq FROM current_labels WHERE feature IN "
        "(SELECT feature FROM current_adjudications WHERE text <> ''))"
    )


@migrations()
def m006_closed_queues(db: Database) -> None:
    """A queue can be closed: it then lends nothing and hides nothing, and can be opened again."""
    db.execute("ALTER TABLE queues ADD COLUMN closed INTEGER")


@migrations()
def m008_label_tests(db: Database) -> None:
    """Tests of labels, from the moment their texts are shown; `said` is missing until they are judged."""
    for statement in (
        """CREATE TABLE label_tests (
            id INTEGER PRIMARY KEY,
            feature INTEGER NOT NULL REFERENCES features (id),
            annotator TEXT NOT NULL CHECK (annotator <> ''),
            texts TEXT NOT NULL CHECK (json_valid(texts)),
            fires TEXT NOT NULL CHECK (json_valid(fires)),
            drawn INTEGER NOT NULL,
            text TEXT,
            said TEXT CHECK (said IS NULL OR json_valid(said)),
            judged INTEGER,
            CHECK ((said IS NULL) = (text IS NULL) AND (said IS NULL) = (judged IS NULL))
        ) STRICT""",
        "CREATE INDEX label_tests_person ON label_tests (feature, annotator)",
    ):
        db.execute(statement)


@migrations()
def m007_drafts(db: Database) -> None:
    """What was typed and not sent is one row a person and feature, written over: no act, so no event.

    As events, drafts took a row for every pause in typing and were most of the log. The latest of each person and
    feature moves over; the ones before it, which nothing could show any more, are dropped.
    """
    submitted = "n.kind IN ('label', 'edit', 'skip')"
    for statement in (
        """CREATE TABLE drafts (
            feature INTEGER NOT NULL REFERENCES features (id),
            annotator TEXT NOT NULL CHECK (annotator <> ''),
            uid TEXT NOT NULL,
            data TEXT NOT NULL CHECK (json_valid(data)),
            time INTEGER NOT NULL,
            PRIMARY KEY (feature, annotator)
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX drafts_annotator ON drafts (annotator, time)",
        # Ascending, so that of two of one person and feature the later one stays.
        f"""INSERT OR REPLACE INTO drafts (feature, annotator, uid, data, time)
            SELECT feature, annotator, uid, data, time FROM label_events AS e WHERE kind = 'draft' AND NOT EXISTS (
                SELECT 1 FROM label_events AS n WHERE n.feature = e.feature AND n.annotator = e.annotator
                AND {submitted} AND n.time >= e.time
            ) ORDER BY time, uid""",
        "DROP VIEW current_drafts",
        """CREATE VIEW current_drafts AS SELECT uid, feature, annotator, 'draft' AS kind, NULL AS text,
            NULL AS category, NULL AS verdict, NULL AS confidence, '' AS note, data, NULL AS about,
            NULL AS supersedes, time FROM drafts""",
        """CREATE TRIGGER drafts_submitted AFTER INSERT ON label_events
            WHEN new.kind IN ('label', 'edit', 'skip') BEGIN
            DELETE FROM drafts WHERE feature = new.feature AND annotator = new.annotator AND time <= new.time;
        END""",
        "DROP TRIGGER label_events_no_delete",
        "DELETE FROM label_events WHERE kind = 'draft' AND uid NOT IN (SELECT supersedes FROM label_events "
        "WHERE supersedes IS NOT NULL UNION ALL SELECT about FROM label_events WHERE about IS NOT NULL)",
        """CREATE TRIGGER label_events_no_delete BEFORE DELETE ON label_events BEGIN
            SELECT raise(ABORT, 'label_events is append-only: add an edit or an undo event');
        END""",
    ):
        db.execute(statement)
