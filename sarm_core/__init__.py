"""SARM Explorer's engine: score answers with a readable reward model, attribute, compare, steer, prove, ship.

The door: `from sarm_core import ...` hands on what other programs use. A name is imported when it is asked for,
so that `import sarm_core` loads nothing, and torch comes with the first name that needs a model.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sarm_core.version import VERSION as __version__

if TYPE_CHECKING:
    from sarm_core.cli.parser import main
    from sarm_core.cli.stores import harvest_into
    from sarm_core.demo.corpus import answers as corpus_answers
    from sarm_core.errors import CheckpointError, RowError, SarmError, SteeringError
    from sarm_core.explain.occlusion import occlude
    from sarm_core.explain.shares import Partition, margin_shares, reward_shares
    from sarm_core.features import FeatureMatrix
    from sarm_core.files import whole_file
    from sarm_core.find.contrast import Contrast, contrast
    from sarm_core.harvest.settings import HarvestSettings
    from sarm_core.model.checkpoint import Checkpoint, open_checkpoint
    from sarm_core.model.dictionaries.loading import Dictionary, load_sae
    from sarm_core.model.embedded import ensure_backbone
    from sarm_core.prove.collateral import collateral
    from sarm_core.prove.comparison import Comparison, compare
    from sarm_core.prove.corpus import encoded_corpus
    from sarm_core.prove.evaluate import Benchmark, Pairs, evaluate, load_benchmark
    from sarm_core.prove.perturb import perturb
    from sarm_core.prove.strength import strength_curve
    from sarm_core.report.curves import curve_chart, svg_file, trade_off_chart
    from sarm_core.report.html_report import (
        Curve,
        FeatureNote,
        Series,
        html_report,
        read_contrast,
        read_evaluation,
    )
    from sarm_core.report.store_notes import notes_of
    from sarm_core.score.encoded import Encoded, encode_once
    from sarm_core.score.scorer import Scored, Scorer, load_sarm
    from sarm_core.share.page import shared_page
    from sarm_core.share.shared import Shared
    from sarm_core.share.to_share import to_share
    from sarm_core.ship.auto import export_auto
    from sarm_core.ship.export import export
    from sarm_core.ship.trl_reward import SteeredReward
    from sarm_core.steering import Steering
    from sarm_core.text.answers import Reader
    from sarm_core.text.row_files import read_rows
    from sarm_core.train.build import BuildConfig, run_build
    from sarm_core.watch.drift import Drift
    from sarm_core.watch.watch import Watch
    from sarm_core.wish.labelled import LabelledPairs
    from sarm_core.wish.learned import Learned, learn
    from sarm_core.wish.profiles import Profiles, learn_each
    from sarm_core.wish.proposal import Proposal, propose

__all__ = [
    "Benchmark",
    "BuildConfig",
    "Checkpoint",
    "CheckpointError",
    "Comparison",
    "Contrast",
    "Curve",
    "Dictionary",
    "Drift",
    "Encoded",
    "FeatureMatrix",
    "FeatureNote",
    "HarvestSettings",
    "LabelledPairs",
    "Learned",
    "Pairs",
    "Partition",
    "Profiles",
    "Proposal",
    "Reader",
    "RowError",
    "SarmError",
    "Scored",
    "Scorer",
    "Series",
    "Shared",
    "SteeredReward",
    "Steering",
    "SteeringError",
    "Watch",
    "__version__",
    "collateral",
    "compare",
    "contrast",
    "corpus_answers",
    "curve_chart",
    "encode_once",
    "encoded_corpus",
    "ensure_backbone",
    "evaluate",
    "export",
    "export_auto",
    "harvest_into",
    "html_report",
    "learn",
    "learn_each",
    "load_benchmark",
    "load_sae",
    "load_sarm",
    "main",
    "margin_shares",
    "notes_of",
    "occlude",
    "open_checkpoint",
    "perturb",
    "propose",
    "read_contrast",
    "read_evaluation",
    "read_rows",
    "reward_shares",
    "run_build",
    "shared_page",
    "strength_curve",
    "svg_file",
    "to_share",
    "trade_off_chart",
    "whole_file",
]

_FROM = {
    "main": "sarm_core.cli.parser:main",
    "harvest_into": "sarm_core.cli.stores:harvest_into",
    "corpus_answers": "sarm_core.demo.corpus:answers",
    "CheckpointError": "sarm_core.errors:CheckpointError",
    "RowError": "sarm_core.errors:RowError",
    "SarmError": "sarm_core.errors:SarmError",
    "SteeringError": "sarm_core.errors:SteeringError",
    "occlude": "sarm_core.explain.occlusion:occlude",
    "Partition": "sarm_core.explain.shares:Partition",
    "margin_shares": "sarm_core.explain.shares:margin_shares",
    "reward_shares": "sarm_core.explain.shares:reward_shares",
    "FeatureMatrix": "sarm_core.features:FeatureMatrix",
    "whole_file": "sarm_core.files:whole_file",
    "Contrast": "sarm_core.find.contrast:Contrast",
    "contrast": "sarm_core.find.contrast:contrast",
    "HarvestSettings": "sarm_core.harvest.settings:HarvestSettings",
    "Checkpoint": "sarm_core.model.checkpoint:Checkpoint",
    "open_checkpoint": "sarm_core.model.checkpoint:open_checkpoint",
    "Dictionary": "sarm_core.model.dictionaries.loading:Dictionary",
    "load_sae": "sarm_core.model.dictionaries.loading:load_sae",
    "ensure_backbone": "sarm_core.model.embedded:ensure_backbone",
    "LabelledPairs": "sarm_core.wish.labelled:LabelledPairs",
    "Learned": "sarm_core.wish.learned:Learned",
    "learn": "sarm_core.wish.learned:learn",
    "Profiles": "sarm_core.wish.profiles:Profiles",
    "learn_each": "sarm_core.wish.profiles:learn_each",
    "Shared": "sarm_core.share.shared:Shared",
    "shared_page": "sarm_core.share.page:shared_page",
    "to_share": "sarm_core.share.to_share:to_share",
    "Proposal": "sarm_core.wish.proposal:Proposal",
    "propose": "sarm_core.wish.proposal:propose",
    "collateral": "sarm_core.prove.collateral:collateral",
    "Comparison": "sarm_core.prove.comparison:Comparison",
    "compare": "sarm_core.prove.comparison:compare",
    "encoded_corpus": "sarm_core.prove.corpus:encoded_corpus",
    "Benchmark": "sarm_core.prove.evaluate:Benchmark",
    "Pairs": "sarm_core.prove.evaluate:Pairs",
    "evaluate": "sarm_core.prove.evaluate:evaluate",
    "load_benchmark": "sarm_core.prove.evaluate:load_benchmark",
    "perturb": "sarm_core.prove.perturb:perturb",
    "strength_curve": "sarm_core.prove.strength:strength_curve",
    "curve_chart": "sarm_core.report.curves:curve_chart",
    "svg_file": "sarm_core.report.curves:svg_file",
    "trade_off_chart": "sarm_core.report.curves:trade_off_chart",
    "Curve": "sarm_core.report.html_report:Curve",
    "FeatureNote": "sarm_core.report.html_report:FeatureNote",
    "Series": "sarm_core.report.html_report:Series",
    "html_report": "sarm_core.report.html_report:html_report",
    "read_contrast": "sarm_core.report.html_report:read_contrast",
    "read_evaluation": "sarm_core.report.html_report:read_evaluation",
    "notes_of": "sarm_core.report.store_notes:notes_of",
    "Encoded": "sarm_core.score.encoded:Encoded",
    "encode_once": "sarm_core.score.encoded:encode_once",
    "Scored": "sarm_core.score.scorer:Scored",
    "Scorer": "sarm_core.score.scorer:Scorer",
    "load_sarm": "sarm_core.score.scorer:load_sarm",
    "export_auto": "sarm_core.ship.auto:export_auto",
    "export": "sarm_core.ship.export:export",
    "SteeredReward": "sarm_core.ship.trl_reward:SteeredReward",
    "Steering": "sarm_core.steering:Steering",
    "Reader": "sarm_core.text.answers:Reader",
    "read_rows": "sarm_core.text.row_files:read_rows",
    "Drift": "sarm_core.watch.drift:Drift",
    "Watch": "sarm_core.watch.watch:Watch",
    "BuildConfig": "sarm_core.train.build:BuildConfig",
    "run_build": "sarm_core.train.build:run_build",
}
"""Where each name comes from, as "module:name"; the imports above say the same to a type checker."""


def __getattr__(name: str) -> Any:
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, there = _FROM[name].partition(":")
    found = globals()[name] = getattr(import_module(module), there)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
