"""The feature store: what each feature fires on, what it is called, and who says so.

Imports neither Streamlit nor torch; takes and gives plain arrays and dataclasses.
"""

from feature_db.errors import PermissionRefused, RowError, StoreError
from feature_db.features.catalogue import FeatureFilter, FeaturesPage, FeatureView
from feature_db.records import (
    EncodingRecord,
    ExampleRecord,
    FeatureRecord,
    ModelRecord,
    SuggestionRecord,
    TextRecord,
)
from feature_db.store import Store

__all__ = [
    "EncodingRecord",
    "ExampleRecord",
    "FeatureFilter",
    "FeatureRecord",
    "FeatureView",
    "FeaturesPage",
    "ModelRecord",
    "PermissionRefused",
    "RowError",
    "Store",
    "StoreError",
    "SuggestionRecord",
    "TextRecord",
]
