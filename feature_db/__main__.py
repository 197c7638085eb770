"""The command line of the store: export, import, stats, merge, people."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from feature_db.errors import StoreError
from feature_db.interchange.auto_labels import export_auto_labels, import_auto_labels
from feature_db.interchange.contexts import export_contexts, import_contexts
from feature_db.interchange.feature_tables import export_csv, export_parquet, import_csv, import_parquet
from feature_db.interchange.foreign import Report, read_json
from feature_db.interchange.neuronpedia import export_folder, import_folder
from feature_db.store import Store

FORMATS = ("contexts", "auto-labels", "neuronpedia", "csv", "parquet")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0, or 2 after one line on stderr when the input or the store is at fault."""
    parsed = _parser().parse_args(arguments)
    try:
        parsed.run(parsed)
    except StoreError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("error: stopped; nothing was changed", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m feature_db", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    export = commands.add_parser(
        "export", help="write features, examples or labels to another program's format"
    )
    export.add_argument("store", type=Path, metavar="STORE")
    export.add_argument("--out", type=Path, required=True, help="file, or folder for neuronpedia")
    export.add_argument("--format", choices=FORMATS, required=True)
    export.add_argument("--engine", help="auto-labels: which engine's")
    export.add_argument("--model-id", default="sarm", help="neuronpedia: the folder of the model")
    export.add_argument("--source-id", help='neuronpedia: "{layer}-{setName}" (default: "<layer>-sarm")')
    export.set_defaults(run=_export)

    imported = commands.add_parser("import", help="take a file in; nothing changes when any row of it is bad")
    imported.add_argument("store", type=Path, metavar="STORE")
    imported.add_argument("input", type=Path, metavar="IN")
    imported.add_argument("--format", choices=FORMATS, help="default: by the name and keys of IN")
    imported.set_defaults(run=_import)

    stats = commands.add_parser("stats", help="what a store holds")
    stats.add_argument("store", type=Path, metavar="STORE")
    stats.add_argument("--json", action="store_true")
    stats.set_defaults(run=_stats)
    return parser


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
        _show(readers[format](store, arguments.input), "taken in")


def _guess(path: Path) -> str:
    if not path.exists():
        raise StoreError(f"{path}: no such file or folder")
    by_suffix = {".csv": "csv", ".parquet": "parquet", ".zip": "neuronpedia"}
    if path.is_dir():
        return "neuronpedia"
    if path.suffix in by_suffix:
        return by_suffix[path.suffix]
    if path.suffix == ".json":
        data = read_json(path)
        for key, format in (("latent_context_map", "contexts"), ("results", "auto-labels")):
            if key in data:
                return format
    raise StoreError(f"{path}: cannot tell what this is; name it with --format")


def _stats(arguments: argparse.Namespace) -> None:
    with Store.open(arguments.store) as store:
        stats: dict[str, Any] = store.stats()
    if arguments.json:
        print(json.dumps(stats, indent=1))
    else:
        for name, value in stats.items():
            print(f"{name:16} {value:,}" if isinstance(value, int) else f"{name:16} {value}")


def _show(report: Report, verb: str) -> None:
    print(", ".join(f"{count:,} {what}" for what, count in report.counts.items()), verb)
    for note in report.notes:
        print(f"note: {note}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
