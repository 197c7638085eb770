"""JSON Schemas (draft 2020-12) of the files that travel, written from what their readers check with.

python docs/schemas/write.py        writes the *.schema.json beside this file; a test compares them
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from feature_db.exchange import event_files
from feature_db.label.events import EVENT_KINDS
from feature_db.label_values import LONGEST_NOTE, LONGEST_TEXT
from sarm_core import steering
from sarm_core.dictionary import look as dictionary
from sarm_core.dictionary import written
from sarm_core.report import evaluation_json as evaluation
from sarm_core.share import shared
from sarm_core.text import json_check
from sarm_core.text.rows import ROLES

Schema = dict[str, Any]

HERE = Path(__file__).resolve().parent


def schemas() -> dict[str, Schema]:
    """Each schema by the name of its file."""
    return {
        "steering.schema.json": _steering(),
        "evaluation.schema.json": _evaluation(),
        "comparison.schema.json": _comparison(),
        "dictionary.schema.json": _dictionary(),
        "label-events.schema.json": _lines(
            event_files.EVENTS,
            "Label events",
            "What people did about features: the whole history",
            list(EVENT_KINDS),
        ),
        "labels.schema.json": _lines(
            event_files.LABELS,
            "Labels",
            "What stands now: each label, and what an adjudicator settled",
            list(event_files.STANDING_KINDS),
        ),
    }


def text_of(schema: Schema) -> str:
    """A schema as its file holds it."""
    return json.dumps(schema, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _named(name: str, title: str, words: str, schema: Schema) -> Schema:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:sarm-explorer:{name}",
        "title": title,
        "description": words,
        **schema,
    }


# -- steering ------------------------------------------------------------------------------------------


def _steering() -> Schema:
    operators = list(steering._OPERATORS)
    number = {"type": "number", "minimum": -steering._LARGEST, "maximum": steering._LARGEST}
    id_text = {"type": "string", "pattern": "^[0-9]{1,9}$"}
    once = [
        {
            "contains": {"type": "array", "prefixItems": [{"const": symbol}]},
            "minContains": 0,
            "maxContains": 1,
        }
        for symbol in operators
    ]
    return _named(
        "steering:1",
        "A steering",
        "Changes to activations by feature: * scales, = sets where active, + adds in every answer. Either the "
        "features alone, or with groups that share one multiplier. What a schema cannot say and a reader refuses as "
        "well: a key or a change given twice, feature numbers that the model does not have, scales whose product "
        "passes the largest number.",
        {
            "anyOf": [{"$ref": "#/$defs/features"}, {"$ref": "#/$defs/extended"}],
            "$defs": {
                "extended": {
                    "type": "object",
                    "properties": {
                        "format": {"const": steering.FORMAT},
                        "features": {"$ref": "#/$defs/features"},
                        "groups": {"type": "object", "additionalProperties": {"$ref": "#/$defs/group"}},
                    },
                    "additionalProperties": False,
                },
                "features": {
                    "type": "object",
                    "propertyNames": id_text,
                    "additionalProperties": {
                        "anyOf": [
                            {"$ref": "#/$defs/change"},
                            {
                                "type": "array",
                                "items": {"$ref": "#/$defs/change"},
                                "minItems": 1,
                                "allOf": once,
                            },
                        ]
                    },
                },
                "change": {
                    "type": "array",
                    "prefixItems": [{"enum": operators}, number],
                    "items": False,
                    "minItems": 2,
                },
                "group": {
                    "type": "object",
                    "properties": {
                        "features": {
                            "type": "array",
                            "items": {
                                "anyOf": [{"type": "integer", "minimum": 0, "maximum": 2**31 - 1}, id_text]
                            },
                        },
                        "scale": number,
                    },
                    "required": ["features", "scale"],
                    "additionalProperties": False,
                },
            },
        },
    )


# -- label events and labels ---------------------------------------------------------------------------


def _lines(format: str, title: str, words: str, kinds: list[str]) -> Schema:
    uid = {"type": "string", "pattern": f"^{event_files._UID.pattern}$"}
    text = {"type": "string", "minLength": 1}

    def where(kind: list[str], then: Schema) -> Schema | None:
        among = [name for name in kind if name in kinds]
        return {"if": {"properties": {"kind": {"enum": among}}}, "then": then} if among else None

    rules = [
        where(["label", "edit", "adjudicate"], {"properties": {"text": text}, "required": ["text"]}),
        where(["edit", "undo"], {"properties": {"supersedes": uid}, "required": ["supersedes"]}),
        where(
            ["vote"],
            {"properties": {"verdict": {"enum": [-1, 1]}, "about": uid}, "required": ["verdict", "about"]},
        ),
        where(
            [kind for kind in kinds if kind != "vote"],
            {"properties": {"verdict": {"type": ["integer", "null"], "minimum": 1, "maximum": 5}}},
        ),
    ]
    return _named(
        format.removeprefix("sarm-").replace("/", ":"),
        title,
        f"{words}. The file is JSONL: this schema is of the list of its lines, the header first. What a schema "
        "cannot say and a reader refuses as well: another model's fingerprint, a feature the store does not hold, a "
        "name that cannot be printed, a time in the future, an event listed twice or one that refers to what it may "
        "not. Whole numbers in quotes are read too.",
        {
            "type": "array",
            "prefixItems": [{"$ref": "#/$defs/header"}],
            "items": {"$ref": "#/$defs/event"},
            "minItems": 1,
            "$defs": {
                "header": {
                    "type": "object",
                    "properties": {
                        "format": {"const": format},
                        "fingerprint": {
                            "type": "string",
                            "description": "sha256 of the model whose features these are",
                        },
                        "model": {"description": "its name, for people"},
                    },
                    "required": ["format", "fingerprint"],
                },
                "event": {
                    "type": "object",
                    "properties": {
                        "uid": {**uid, "description": "the same in every store the event was merged into"},
                        "feature": {"type": "integer", "minimum": 0},
                        "annotator": {"type": "string", "pattern": "\\S"},
                        "kind": {"enum": kinds},
                        "time": {"type": "string", "format": "date-time", "description": "with its zone"},
                        "text": {"type": ["string", "null"], "maxLength": LONGEST_TEXT},
                        "category": {"type": ["string", "null"]},
                        "verdict": {
                            "type": ["integer", "null"],
                            "description": "1 to 5; of a vote 1 for, -1 against",
                        },
                        "confidence": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
                        "note": {"type": ["string", "null"], "maxLength": LONGEST_NOTE},
                        "data": {"type": ["object", "null"]},
                        "about": {
                            "anyOf": [uid, {"type": "null"}],
                            "description": "the label a vote, flag or adjudication is about",
                        },
                        "supersedes": {
                            "anyOf": [uid, {"type": "null"}],
                            "description": "the event this one replaces",
                        },
                    },
                    "required": ["uid", "feature", "annotator", "kind", "time"],
                    "allOf": [rule for rule in rules if rule is not None],
                },
            },
        },
    )


# -- evaluation ----------------------------------------------------------------------------------------


def _evaluation() -> Schema:
    schema = _part(json_check.Object(evaluation._REPORT, evaluation._OPTIONAL))
    schema["properties"] = {"format": {"const": evaluation.FORMAT}, **schema["properties"]}
    schema["properties"]["scores"]["required"] = ["total"]
    schema["properties"]["bootstrap"]["properties"]["confidence"] = {
        "type": "number",
        "exclusiveMinimum": 0,
        "exclusiveMaximum": 1,
    }
    schema["required"] = ["format", *schema["required"]]
    changed = {name: _part(kind) for name, kind in evaluation._STEERED.items()}
    changed["flips"]["items"]["properties"]["direction"] = {"enum": ["won", "lost"]}
    steering = _steering()
    changed["steering"] = {"$ref": steering["$id"]}
    return _named(
        evaluation.FORMAT.removeprefix("sarm-").replace("/", ":"),
        "An evaluation",
        "What `evaluate` writes and `report` reads; other keys are left alone. With a steering, all it changed is "
        "there too. What a schema cannot say and a reader refuses as well: score names that differ from part to part, "
        "edges and strengths that do not ascend, lists that do not fit them.",
        {
            **schema,
            "dependentSchemas": {"steering": {"properties": changed, "required": list(changed)}},
            "$defs": {"steering": steering},
        },
    )


# -- dictionary --------------------------------------------------------------------------------------------


def _dictionary() -> Schema:
    schema = _part(written.SHAPE)
    schema["properties"] = {"format": {"const": dictionary.FORMAT}, **schema["properties"]}
    schema["required"] = ["format", *schema["required"]]
    return _named(
        dictionary.FORMAT.removeprefix("sarm-").replace("/", ":"),
        "A report of a dictionary",
        "What `dictionary` writes: whose names carry the reward, which features double, split, are dense or dead, and "
        "another dictionary beside it; other keys are left alone. Shares are of the sum of |w z| over the answers.",
        schema,
    )


# -- comparison ------------------------------------------------------------------------------------------


def _comparison() -> Schema:
    schema = _part(shared.SHAPE)
    properties = schema["properties"]
    properties["format"] = {"const": shared.FORMAT}
    properties["answers"] |= {"minItems": 1, "maxItems": shared.MOST_ANSWERS}
    properties["prompt"]["minItems"] = 1
    properties["prompt"]["items"]["properties"]["role"] = {"enum": list(ROLES)}
    properties["model"]["properties"]["features"] |= {"minimum": 1, "maximum": shared.MOST_FEATURES}
    steering = _steering()
    properties["steering"] = {"$ref": steering["$id"]}
    return _named(
        shared.FORMAT.removeprefix("sarm-").replace("/", ":"),
        "A comparison",
        "Answers to one prompt with the features that score them: what Share and `sarm share` write and the page "
        "Compare and steer opens; other keys are left alone. Without `scored` it is texts alone. What a schema cannot "
        "say and a reader refuses as well: lists that do not fit each other, features that do not ascend or are beyond "
        "the model's, a feature whose weight is not listed, a reward that is not the sum of its parts, `extra` and "
        "`tools` that are not JSON in a text.",
        {**schema, "$defs": {"steering": steering}},
    )


def _part(kind: Any) -> Schema:
    """One value of the reader's own description."""
    if isinstance(kind, json_check.ListOf):
        sized = {} if kind.length is None else {"minItems": kind.length, "maxItems": kind.length}
        return {"type": "array", "items": _part(kind.of), **sized}
    if isinstance(kind, json_check.MapOf):
        return {"type": "object", "additionalProperties": _part(kind.of)}
    if isinstance(kind, json_check.Object):
        return {
            "type": "object",
            "properties": {name: _part(part) for name, part in {**kind.needed, **kind.optional}.items()},
            "required": list(kind.needed),
        }
    count = {"minimum": 0, "maximum": 10**15}
    finite = {"minimum": -json_check.LARGEST, "maximum": json_check.LARGEST}
    return {
        json_check.NUMBER: {"type": ["number", "null"], **finite},
        json_check.REAL: {"type": "number", **finite},
        json_check.COUNT: {"type": "integer", **count},
        json_check.TEXT: {"type": "string"},
        json_check.MAYBE_TEXT: {"type": ["string", "null"]},
        json_check.ANY: {},
    }.get(kind, {"type": ["integer", "null"], **count})


if __name__ == "__main__":
    for name, schema in schemas().items():
        (HERE / name).write_text(text_of(schema), encoding="utf-8")
