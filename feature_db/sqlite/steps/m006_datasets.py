"""Data sets that people bring."""

from __future__ import annotations

from sqlite_utils import Database

from feature_db.sqlite.steps.registry import MODEL_COLUMN, migrations

__all__: list[str] = []


@migrations()
def m006_datasets(db: Database) -> None:
    """Data sets that people bring once: their rows as they stood, and what is listed, sorted and scored of them."""
    for statement in (
        f"""CREATE TABLE datasets (
            id INTEGER PRIMARY KEY,
            hash TEXT NOT NULL UNIQUE,
            name TEXT NOT NULL CHECK (name <> ''),
            reading TEXT NOT NULL CHECK (json_valid(reading)),
            said TEXT NOT NULL CHECK (json_valid(said)),
            files TEXT NOT NULL CHECK (json_valid(files)),
            columns TEXT NOT NULL CHECK (json_valid(columns)),
            n_items INTEGER NOT NULL,
            n_answers INTEGER NOT NULL,
            n_labels INTEGER NOT NULL,
            owner TEXT NOT NULL,
            added INTEGER NOT NULL,
            scored_by TEXT NOT NULL DEFAULT '',
            {MODEL_COLUMN}
        ) STRICT""",
        # Each sort is one from the largest value on, so that what has no value comes last: hence "worst", the margin
        # with the other sign. No generated columns: SQLite 3.40 takes no index to cover one.
        """CREATE TABLE dataset_items (
            dataset INTEGER NOT NULL REFERENCES datasets (id) ON DELETE CASCADE,
            number INTEGER NOT NULL,
            id TEXT NOT NULL,
            prompt TEXT NOT NULL,
            unit INTEGER NOT NULL,
            subset TEXT NOT NULL,
            answers INTEGER NOT NULL,
            labels INTEGER NOT NULL,
            length INTEGER NOT NULL,
            longer REAL,
            own TEXT NOT NULL CHECK (json_valid(own)),
            won INTEGER,
            tied INTEGER,
            margin REAL,
            verdict TEXT NOT NULL CHECK (verdict IN ('agrees', 'disagrees', 'ties', 'unscored', 'unlabelled')),
            worst REAL,
            close REAL,
            shortest INTEGER NOT NULL,
            shorter REAL,
            PRIMARY KEY (dataset, number)
        ) STRICT, WITHOUT ROWID""",
        # With what slices ask for, so that the items of a page are found without reading any other.
        *(
            f"CREATE INDEX dataset_items_{name} ON dataset_items (dataset, {name} DESC, number, verdict, subset)"
            for name in ("margin", "worst", "close", "length", "shortest", "longer", "shorter")
        ),
        "CREATE INDEX dataset_items_counts "
        "ON dataset_items (dataset, verdict, subset, number, labels, won, tied, unit)",
        """CREATE TABLE dataset_rows (
            dataset INTEGER NOT NULL REFERENCES datasets (id) ON DELETE CASCADE,
            item INTEGER NOT NULL,
            file INTEGER NOT NULL,
            row INTEGER NOT NULL,
            body TEXT NOT NULL
        ) STRICT""",
        "CREATE INDEX dataset_rows_item ON dataset_rows (dataset, item)",
        """CREATE TABLE dataset_values (
            dataset INTEGER NOT NULL REFERENCES datasets (id) ON DELETE CASCADE,
            name TEXT NOT NULL,
            value ANY NOT NULL,
            item INTEGER NOT NULL,
            PRIMARY KEY (dataset, name, value, item)
        ) STRICT, WITHOUT ROWID""",
    ):
        db.execute(statement)
