"""Tables of the feature side of the store, as migrations. The labelling side is in `labelling_schema.py`.

One file holds one model: `models` has room for the row with id 1 only, and every row that came from a model
refers to it, so rows of two models cannot meet in one file.
"""

from __future__ import annotations

from sqlite_utils import Database, Migrations

__all__ = ["APPLICATION_ID", "EXAMPLES_BY_TEXT", "EXAMPLES_INDEX", "migrations"]

APPLICATION_ID = 0x5341524D
"""Marks the file as ours ("SARM") in its header."""

migrations = Migrations("feature_db")

EXAMPLES_INDEX = "CREATE UNIQUE INDEX examples_place ON examples (feature, kind, text)"
"""Made after a bulk import; also what keeps a text from holding two places of one kind."""

EXAMPLES_BY_TEXT = (
    "CREATE INDEX examples_by_text ON examples (text, feature, activation) "
    "WHERE purpose = 'label' AND kind <> 'silent'"
)
"""From a text to the features it is shown for (`text_search`). Made after a bulk import."""

_MODEL = "model INTEGER NOT NULL DEFAULT 1 REFERENCES models (id)"


@migrations()
def m001_features(db: Database) -> None:
    """Models, texts, encodings, features and their examples."""
    for statement in (
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
            {_MODEL}
        ) STRICT""",
        """CREATE VIEW text_bodies AS SELECT id, (
            SELECT group_concat(json_extract(value, '$.content'), char(10)) FROM json_each(texts.messages)
        ) AS body FROM texts""",
        f"""CREATE TABLE encodings (
            text INTEGER PRIMARY KEY REFERENCES texts (id),
            n_active INTEGER NOT NULL,
            z BLOB NOT NULL,
            {_MODEL}
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
            {_MODEL}
        ) STRICT""",
        # Wide columns live apart so that filtering and counting features reads narrow rows only.
        """CREATE TABLE feature_details (
            feature INTEGER PRIMARY KEY REFERENCES features (id),
            histogram_edges BLOB,
            histogram_counts BLOB,
            neighbours BLOB,
            cofiring_features BLOB,
            cofiring_counts BLOB
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
            {_MODEL}
        ) STRICT""",
        EXAMPLES_INDEX,
        f"""CREATE TABLE suggestions (
            id INTEGER PRIMARY KEY,
            feature INTEGER NOT NULL REFERENCES features (id),
            method TEXT NOT NULL,
            text TEXT NOT NULL,
            evidence TEXT NOT NULL DEFAULT '{{}}' CHECK (json_valid(evidence)),
            {_MODEL},
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
    ):
        db.execute(statement)


@migrations()
def m002_saved_work(db: Database) -> None:
    """Lists, steerings, sessions, jobs and where imported rows came from."""
    for statement in (
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
            {_MODEL},
            PRIMARY KEY (name, version)
        ) STRICT""",
        f"""CREATE TABLE sessions (
            id TEXT PRIMARY KEY,
            kind TEXT NOT NULL,
            body TEXT NOT NULL CHECK (json_valid(body)),
            created INTEGER NOT NULL,
            {_MODEL}
        ) STRICT""",
        f"""CREATE TABLE jobs (
            id INTEGER PRIMARY KEY,
            kind TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed', 'stopped')),
            done INTEGER NOT NULL DEFAULT 0,
            total INTEGER,
            resume TEXT NOT NULL DEFAULT '{{}}' CHECK (json_valid(resume)),
            message TEXT NOT NULL DEFAULT '',
            started INTEGER NOT NULL,
            updated INTEGER NOT NULL,
            {_MODEL}
        ) STRICT""",
        """CREATE TABLE imports (
            id INTEGER PRIMARY KEY,
            format TEXT NOT NULL,
            source TEXT NOT NULL,
            header TEXT NOT NULL CHECK (json_valid(header)),
            time INTEGER NOT NULL
        ) STRICT""",
    ):
        db.execute(statement)


@migrations()
def m004_change_times(db: Database) -> None:
    """When the suggestions last changed; label events carry their own times."""
    db.execute("CREATE TABLE changes (what TEXT PRIMARY KEY, time INTEGER NOT NULL) STRICT, WITHOUT ROWID")
    db.execute("INSERT INTO changes (what, time) VALUES ('suggestions', 0)")
    for act in ("INSERT", "UPDATE", "DELETE"):
        # Later than before even when the clock was set back or two changes fall into one microsecond.
        db.execute(
            f"CREATE TRIGGER suggestions_changed_by_{act.lower()} AFTER {act} ON suggestions BEGIN "
            "UPDATE changes SET time = max(time + 1, CAST((julianday('now') - 2440587.5) * 86400e6 AS INTEGER)) "
            "WHERE what = 'suggestions'; END"
        )


@migrations()
def m007_cofiring_sample(db: Database) -> None:
    """At how many of the positions that pairs were counted on a feature fires; NULL where they were all."""
    db.execute("ALTER TABLE feature_details ADD COLUMN cofiring_of INTEGER CHECK (cofiring_of >= 0)")


@migrations()
def m008_examples_by_text(db: Database) -> None:
    """Without it, a search in the texts reads every example there is."""
    db.execute(EXAMPLES_BY_TEXT)
