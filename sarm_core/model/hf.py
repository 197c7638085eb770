"""All that is taken from Transformers at import, through one door.

While one thread imports Transformers for the first time, `from transformers import NAME` in another one fails: its
package puts a lazy module in its own place before it is whole, and no import waits for that (5.23; findings has a
script that shows it). Whoever imports this module waits until it is whole. A server with a page that loads a model and
a thread that does so ahead of it needs that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import transformers
from transformers import AutoTokenizer, DynamicCache, PretrainedConfig
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_MAPPING
from transformers.utils import logging as transformers_logging

if TYPE_CHECKING:
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        StoppingCriteria,
        StoppingCriteriaList,
    )

__all__ = [
    "CONFIG_MAPPING",
    "MODEL_MAPPING",
    "AutoModelForCausalLM",
    "AutoModelForSequenceClassification",
    "AutoTokenizer",
    "BaseModelOutputWithPast",
    "DynamicCache",
    "DynamicLayer",
    "DynamicSlidingWindowLayer",
    "PretrainedConfig",
    "StoppingCriteria",
    "StoppingCriteriaList",
    "transformers",
    "transformers_logging",
]


def __getattr__(name: str) -> Any:
    """What few need, and what takes a second to import: by then Transformers is whole."""
    if name in __all__:
        return getattr(transformers, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
