"""The feature store of one model: statistics, examples, texts, suggestions and saved work."""

from __future__ import annotations

from feature_db.features.catalogue import Catalogue
from feature_db.features.evidence import Evidence
from feature_db.features.search import Search
from feature_db.features.suggestions import Suggestions
from feature_db.harvest.harvest_import import HarvestImport
from feature_db.saved_work import SavedWork

__all__ = ["Store"]


class Store(HarvestImport, Catalogue, Evidence, Search, Suggestions, SavedWork):
    """A store, open in one thread.

        with Store.open("demo.db", fingerprint=sarm.fingerprint) as store:
            page = store.features_page(sort="effect", limit=50)

    Each base class is one part of it, in the module named for that part. Labels, queues and people are used
    through `feature_db.label.labels.Labels`, `feature_db.label.queues.Queues` and `feature_db.roles.People`.
    """
