"""Everything as it was when the program got its rooms."""

from __future__ import annotations

from sqlite_utils import Database

from feature_db.sqlite.steps.registry import MODEL_COLUMN, migrations

__all__ = ["EVENT_KINDS", "EXAMPLES_BY_TEXT", "EXAMPLES_INDEX"]

EVENT_KINDS = ("label", "edit", "vote", "skip", "flag", "adjudicate", "undo", "draft")
"""Drafts have a table of their own; files of events hold them as events."""

EXAMPLES_INDEX = "CREATE UNIQUE INDEX examples_place ON examples (feature, kind, text)"
"""Made after a bulk import; also what keeps a text from holding two places of one kind."""

EXAMPLES_BY_TEXT = (
    "CREATE INDEX examples_by_text ON examples (text, feature, activation) "
    "WHERE purpose = 'label' AND kind <> 'silent'"
)
"""From a text to the features it is shown for (`text_search`). Made after a bulk import."""

_FEATURES = (
    """CREATE TABLE models (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        fingerprint TEXT NOT NULL,
        name TEXT NOT NULL,
        n_features INTEGER NOT NULL CHECK (n_features > 0),
        info TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(info)),
        created INTEGER NOT NULL
    ) STRICT""",
    f"""CREATE TABLE texts (
        id INTEGER PRIMARY KEY,
        hash TEXT NOT NULL UNIQUE,
        messages TEXT NOT NULL CHECK (json_valid(messages)),
        token_ids BLOB,
        tokens TEXT CHECK (tokens IS NULL OR json_valid(tokens)),
        source TEXT,
        category TEXT,
        {MODEL_COLUMN}
    ) STRICT""",
    """CREATE VIEW text_bodies AS SELECT id, (
        SELECT group_concat(json_extract(value, '$.content'), char(10)) FROM json_each(texts.messages)
    ) AS body FROM texts""",
    f"""CREATE TABLE encodings (
        text INTEGER PRIMARY KEY REFERENCES texts (id),
        n_active INTEGER NOT NULL,
        z BLOB NOT NULL,
        {MODEL_COLUMN}
    ) STRICT""",
    f"""CREATE TABLE features (
        id INTEGER PRIMARY KEY CHECK (id >= 0),
        head_weight REAL,
        firing_count INTEGER CHECK (firing_count >= 0),
        denominator INTEGER CHECK (denominator >= firing_count),
        density REAL CHECK (density BETWEEN 0 AND 1),
        mean REAL,
        max REAL,
        n_labels INTEGER NOT NULL DEFAULT 0,
        abs_weight REAL GENERATED ALWAYS AS (abs(head_weight)) VIRTUAL,
        effect REAL GENERATED ALWAYS AS (abs(head_weight * mean * density)) VIRTUAL,
        {MODEL_COLUMN}
    ) STRICT""",
    # Wide columns live apart so that filtering and counting features reads narrow rows only.
    """CREATE TABLE feature_details (
        feature INTEGER PRIMARY KEY REFERENCES features (id),
        histogram_edges BLOB,
        histogram_counts BLOB,
        neighbours BLOB,
        cofiring_features BLOB,
        cofiring_counts BLOB,
        cofiring_of INTEGER CHECK (cofiring_of >= 0)
    ) STRICT""",
    f"""CREATE TABLE examples (
        id INTEGER PRIMARY KEY,
        feature INTEGER NOT NULL REFERENCES features (id),
        text INTEGER NOT NULL REFERENCES texts (id),
        kind TEXT NOT NULL CHECK (kind IN ('top', 'band', 'random', 'silent')),
        band INTEGER,
        rank INTEGER NOT NULL,
        purpose TEXT NOT NULL CHECK (purpose IN ('label', 'check')),
        peak_position INTEGER,
        activation REAL NOT NULL,
        per_token BLOB,
        band_low REAL,
        band_high REAL,
        token TEXT,
        {MODEL_COLUMN}
    ) STRICT""",
    EXAMPLES_INDEX,
    EXAMPLES_BY_TEXT,
    f"""CREATE TABLE suggestions (
        id INTEGER PRIMARY KEY,
        feature INTEGER NOT NULL REFERENCES features (id),
        method TEXT NOT NULL,
        text TEXT NOT NULL,
        evidence TEXT NOT NULL DEFAULT '{{}}' CHECK (json_valid(evidence)),
        {MODEL_COLUMN},
        UNIQUE (feature, method, text)
    ) STRICT""",
    "CREATE INDEX suggestions_method ON suggestions (method)",
    *(
        f"CREATE INDEX features_{column} ON features ({column})"
        for column in ("head_weight", "abs_weight", "effect", "density", "mean", "max", "n_labels")
    ),
    """CREATE VIRTUAL TABLE texts_fts USING fts5 (
        body, content = 'text_bodies', content_rowid = 'id', tokenize = 'porter unicode61'
    )""",
    """CREATE VIRTUAL TABLE suggestions_fts USING fts5 (
        text, content = 'suggestions', content_rowid = 'id', tokenize = 'porter unicode61', prefix = '2 3'
    )""",
    # The rowid of a label here is the number of the event it came from.
    """CREATE VIRTUAL TABLE labels_fts USING fts5 (
        text, feature UNINDEXED, tokenize = 'porter unicode61', prefix = '2 3'
    )""",
    # When the suggestions last changed; label events carry their own times.
    "CREATE TABLE changes (what TEXT PRIMARY KEY, time INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "INSERT INTO changes (what, time) VALUES ('suggestions', 0)",
    # Later than before even when the clock was set back or two changes fall into one microsecond.
    *(
        f"CREATE TRIGGER suggestions_changed_by_{act.lower()} AFTER {act} ON suggestions BEGIN "
        "UPDATE changes SET time = max(time + 1, CAST((julianday('now') - 2440587.5) * 86400e6 AS INTEGER)) "
        "WHERE what = 'suggestions'; END"
        for act in ("INSERT", "UPDATE", "DELETE")
    ),
)
"""Models, texts, encodings, features with their examples and suggestions, and what is searched in."""

_SAVED_WORK = (
    """CREATE TABLE lists (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        owner TEXT NOT NULL,
        created INTEGER NOT NULL,
        UNIQUE (owner, name)
    ) STRICT""",
    """CREATE TABLE list_items (
        list INTEGER NOT NULL REFERENCES lists (id) ON DELETE CASCADE,
        feature INTEGER NOT NULL REFERENCES features (id),
        note TEXT NOT NULL DEFAULT '',
        added INTEGER NOT NULL,
        PRIMARY KEY (list, feature)
    ) STRICT, WITHOUT ROWID""",
    f"""CREATE TABLE steerings (
        name TEXT NOT NULL,
        version INTEGER NOT NULL CHECK (version > 0),
        body TEXT NOT NULL CHECK (json_valid(body)),
        note TEXT NOT NULL DEFAULT '',
        author TEXT NOT NULL DEFAULT '',
        created INTEGER NOT NULL,
        {MODEL_COLUMN},
        PRIMARY KEY (name, version)
    ) STRICT""",
    f"""CREATE TABLE sessions (
        id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        body TEXT NOT NULL CHECK (json_valid(body)),
        created INTEGER NOT NULL,
        {MODEL_COLUMN}
    ) STRICT""",
    """CREATE TABLE imports (
        id INTEGER PRIMARY KEY,
        format TEXT NOT NULL,
        source TEXT NOT NULL,
        header TEXT NOT NULL CHECK (json_valid(header)),
        time INTEGER NOT NULL
    ) STRICT""",
)
"""Lists, steerings, sessions and where imported rows came from."""

_KINDS = ", ".join(f"'{kind}'" for kind in EVENT_KINDS)
_UNDONE = "EXISTS (SELECT 1 FROM label_events AS u WHERE u.supersedes = {0}.uid AND u.kind = 'undo')"
_LIVE = f"NOT {_UNDONE.format('e')}"
_NEWER = "(n.time > e.time OR (n.time = e.time AND n.uid > e.uid))"
_SETTLED = "SELECT seq, text, feature FROM current_adjudications WHERE text <> ''"


def _replaced(kind: str) -> str:
    return (
        f"EXISTS (SELECT 1 FROM label_events AS n WHERE n.supersedes = e.uid AND n.kind IN ('{kind}') "
        f"AND NOT {_UNDONE.format('n')})"
    )


_LABELLING = (
    f"""CREATE TABLE label_events (
        seq INTEGER PRIMARY KEY,
        uid TEXT NOT NULL UNIQUE,
        feature INTEGER NOT NULL REFERENCES features (id),
        annotator TEXT NOT NULL CHECK (annotator <> ''),
        kind TEXT NOT NULL CHECK (kind IN ({_KINDS})),
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
        WHERE e.kind IN ('label', 'edit') AND {_LIVE} AND NOT {_replaced("edit")}""",
    f"""CREATE VIEW current_votes AS SELECT e.* FROM label_events AS e
        WHERE e.kind = 'vote' AND {_LIVE} AND NOT {_replaced("vote")}""",
    f"""CREATE VIEW current_flags AS SELECT e.* FROM label_events AS e
        WHERE e.kind = 'flag' AND {_LIVE}""",
    # Merged stores may each hold an adjudication: the later one stands, both stay in the history.
    f"""CREATE VIEW current_adjudications AS SELECT e.* FROM label_events AS e
        WHERE e.kind = 'adjudicate' AND {_LIVE} AND NOT EXISTS (
            SELECT 1 FROM label_events AS n WHERE n.feature = e.feature AND n.kind = 'adjudicate'
            AND {_NEWER} AND NOT {_UNDONE.format("n")}
        )""",
    # A settled feature is found by the text it was settled on, not by the labels that were passed over.
    f"""CREATE TRIGGER label_events_state AFTER INSERT ON label_events
        WHEN new.kind IN ('label', 'edit', 'undo', 'adjudicate') BEGIN
        UPDATE features SET n_labels = (SELECT count(*) FROM current_labels WHERE feature = new.feature)
            WHERE id = new.feature;
        DELETE FROM labels_fts WHERE rowid IN (
            SELECT seq FROM label_events WHERE feature = new.feature
            AND kind IN ('label', 'edit', 'adjudicate'));
        INSERT INTO labels_fts (rowid, text, feature)
            {_SETTLED} AND feature = new.feature
            UNION ALL
            SELECT seq, text, feature FROM current_labels
            WHERE feature = new.feature AND NOT EXISTS ({_SETTLED} AND feature = new.feature);
    END""",
    # What was typed and not sent is one row a person and feature, written over: no act, so no event.
    """CREATE TABLE drafts (
        feature INTEGER NOT NULL REFERENCES features (id),
        annotator TEXT NOT NULL CHECK (annotator <> ''),
        uid TEXT NOT NULL,
        data TEXT NOT NULL CHECK (json_valid(data)),
        time INTEGER NOT NULL,
        PRIMARY KEY (feature, annotator)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX drafts_annotator ON drafts (annotator, time)",
    """CREATE VIEW current_drafts AS SELECT uid, feature, annotator, 'draft' AS kind, NULL AS text,
        NULL AS category, NULL AS verdict, NULL AS confidence, '' AS note, data, NULL AS about,
        NULL AS supersedes, time FROM drafts""",
    """CREATE TRIGGER drafts_submitted AFTER INSERT ON label_events
        WHEN new.kind IN ('label', 'edit', 'skip') BEGIN
        DELETE FROM drafts WHERE feature = new.feature AND annotator = new.annotator AND time <= new.time;
    END""",
    # Tests of labels, from the moment their texts are shown; `said` is missing until they are judged.
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
        made INTEGER NOT NULL,
        closed INTEGER
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
)
"""Events and their views, drafts, tests of labels, people, categories, queues and leases."""


@migrations()
def m001_store(db: Database) -> None:
    """Every table, view, index and trigger."""
    for statement in (*_FEATURES, *_SAVED_WORK, *_LABELLING):
        db.execute(statement)
