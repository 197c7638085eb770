"""The command line of the feature store."""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

from feature_db.errors import StoreError
from feature_db.exchange.auto_labels import export_auto_labels, import_auto_labels
from feature_db.exchange.contexts import export_contexts, import_contexts
from feature_db.exchange.event_files import export_events, export_labels
from feature_db.exchange.feature_tables import export_csv, export_parquet, import_csv, import_parquet
from feature_db.exchange.foreign import Report, read_json
from feature_db.exchange.merge import MergeReport, import_events, merge_store
from feature_db.exchange.neuronpedia_export import export_folder
from feature_db.exchange.neuronpedia_import import import_folder
from feature_db.roles import ROLES, People
from feature_db.store import Store

FORMATS = ("contexts", "auto-labels", "neuronpedia", "csv", "parquet", "events", "labels")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0, or 2 after one line on stderr when the input or the store is at fault."""
    parsed = _parser().parse_args(arguments)
    try:
        parsed.run(parsed)
    except StoreError as error:
        return _refused(str(error))
    except sqlite3.Error as error:  # a full disk, a damaged store
        return _refused(f"{parsed.store}: {error}; nothing was changed")
    except OSError as error:  # what may not be read
        return _refused(f"{error.filename or parsed.store}: {error.strerror or error}; nothing was changed")
    except KeyboardInterrupt:
        print("error: stopped; nothing was changed", file=sys.stderr)
        return 130
    return 0


def _refused(reason: str) -> int:
    print(f"error: {_one_line(reason)}", file=sys.stderr)
    return 2


def _one_line(text: str) -> str:
    """`text` with parts of foreign files in it: what a terminal would obey, or could not print, is written out."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in " ".join(text.split())
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m feature_db", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    export = commands.add_parser(
        "export", help="write features, examples or labels to another program's format"
    )
    export.add_argument("store", type=Path, metavar="STORE")
    export.add_argument(
        "--out",
        type=Path,
        required=True,
        help="file (events and labels: .jsonl or .csv), or folder for neuronpedia",
    )
    export.add_argument("--format", choices=FORMATS, required=True)
    export.add_argument("--engine", help="auto-labels: which engine's")
    export.add_argument("--model-id", default="sarm", help="neuronpedia: the folder of the model")
    export.add_argument("--source-id", help='neuronpedia: "{layer}-{setName}" (default: "<layer>-sarm")')
    export.set_defaults(run=_export)

    imported = commands.add_parser("import", help="take a file in; nothing changes when any row of it is bad")
    imported.add_argument("store", type=Path, metavar="STORE")
    imported.add_argument("input", type=Path, metavar="IN")
    imported.add_argument("--format", choices=FORMATS, help="default: by the name and keys of IN")
    _who(imported)
    imported.set_defaults(run=_import)

    merge = commands.add_parser("merge", help="add the label events of another store of the same model")
    merge.add_argument("store", type=Path, metavar="STORE")
    merge.add_argument("other", type=Path, metavar="OTHER")
    _who(merge)
    merge.set_defaults(run=_merge)

    people = commands.add_parser(
        "people", help="list roles, or give NAME a role ('*' stands for everyone else)"
    )
    people.add_argument("store", type=Path, metavar="STORE")
    people.add_argument("name", nargs="?", metavar="NAME")
    people.add_argument("role", nargs="?", choices=ROLES)
    people.add_argument("--as", dest="by", metavar="ADMIN", help="not needed to name the first admin")
    people.set_defaults(run=_people)

    stats = commands.add_parser("stats", help="what a store holds")
    stats.add_argument("store", type=Path, metavar="STORE")
    stats.add_argument("--json", action="store_true")
    stats.set_defaults(run=_stats)
    return parser


def _who(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--as", dest="by", metavar="ADMIN", default="", help="events: the admin who takes them in"
    )
    command.add_argument(
        "--dry-run", action="store_true", help="events: show what would change, change nothing"
    )


def _export(arguments: argparse.Namespace) -> None:
    out: Path = arguments.out
    with Store.open(arguments.store) as store:
        if arguments.format == "contexts":
            report = export_contexts(store, out)
        elif arguments.format == "auto-labels":
            report = export_auto_labels(store, out, arguments.engine)
        elif arguments.format == "csv":
            report = export_csv(store, out)
        elif arguments.format == "parquet":
            report = export_parquet(store, out)
        elif arguments.format == "events":
            report = export_events(store, out)
        elif arguments.format == "labels":
            report = export_labels(store, out)
        else:
            source = arguments.source_id or f"{store.model.info.get('layer', 0)}-sarm"
            report = export_folder(store, out, model_id=arguments.model_id, source_id=source)
    _show(report, "written")


def _import(arguments: argparse.Namespace) -> None:
    readers = {
        "contexts": import_contexts,
        "auto-labels": import_auto_labels,
        "neuronpedia": import_folder,
        "csv": import_csv,
        "parquet": import_parquet,
    }
    format = arguments.format or _guess(arguments.input)
    with Store.open(arguments.store) as store:
        if format in ("events", "labels"):
            _named(arguments)
            _show_merge(import_events(store, arguments.input, arguments.by, dry_run=arguments.dry_run))
        elif arguments.dry_run:
            raise StoreError(
                "--dry-run is for events and labels; any other file is taken in whole or refused"
            )
        else:
            _show(readers[format](store, arguments.input), "taken in")


def _named(arguments: argparse.Namespace) -> None:
    if not arguments.by:
        raise StoreError(
            "events come in under their authors' names: say which admin takes them in with --as NAME"
        )


def _merge(arguments: argparse.Namespace) -> None:
    _named(arguments)
    with Store.open(arguments.store) as store:
        _show_merge(merge_store(store, arguments.other, arguments.by, dry_run=arguments.dry_run))


def _people(arguments: argparse.Namespace) -> None:
    with Store.open(arguments.store) as store:
        people = People(store)
        if arguments.name is not None:
            if arguments.role is None:
                raise StoreError("name a role as well")
            people.set_role(arguments.by, arguments.name, arguments.role)
        for name, role in people.all().items():
            print(f"{role:12} {name}")


def _guess(path: Path) -> str:
    if not path.exists():
        raise StoreError(f"{path}: no such file or folder")
    by_suffix = {".csv": "csv", ".parquet": "parquet", ".zip": "neuronpedia", ".jsonl": "events"}
    if path.is_dir():
        return "neuronpedia"
    if path.suffix == ".csv" and "uid" in _csv_header(path):
        return "events"
    if path.suffix in by_suffix:
        return by_suffix[path.suffix]
    if path.suffix == ".json":
        data = read_json(path)
        for key, format in (("latent_context_map", "contexts"), ("results", "auto-labels")):
            if key in data:
                return format
    raise StoreError(f"{path}: cannot tell what this is; name it with --format")


def _csv_header(path: Path) -> list[str]:
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        return file.readline(10_000).strip().split(",")


def _stats(arguments: argparse.Namespace) -> None:
    with Store.open(arguments.store) as store:
        stats: dict[str, Any] = store.stats()
    if arguments.json:
        print(json.dumps(stats, indent=1))
    else:
        for name, value in stats.items():
            print(f"{name:16} {value:,}" if isinstance(value, int) else f"{name:16} {value}")


def _show_merge(report: MergeReport) -> None:
    verb = "would be added" if report.dry_run else "added"
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(report.new.items())) or "no event"
    print(
        f"{kinds} {verb}; {report.known:,} known already; labels, or what was settled, of "
        f"{len(report.changed):,} features change"
    )
    for feature, (before, after) in report.changed.items():
        stands, then = (_one_line(" | ".join(lines)) or "unlabelled" for lines in (before, after))
        print(f"feature {feature}: {stands} -> {then}")


def _show(report: Report, verb: str) -> None:
    print(", ".join(f"{count:,} {what}" for what, count in report.counts.items()), verb)
    for note in report.notes:
        print(f"note: {_one_line(note)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
