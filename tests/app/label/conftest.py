"""A queue for the pages about labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from feature_db import FeatureFilter, Store
from feature_db.label.queues import Queues
from feature_db.roles import People
from tests.app.label.label_pages import (
    CHIEF,
    QUEUED,
)


@pytest.fixture
def queue(store_path: Path) -> int:
    with Store.open(store_path) as store:
        People(store).set_role(None, CHIEF, "admin")
        return Queues(store, CHIEF).make("first", FeatureFilter(ids=QUEUED), sort="id", overlap=2)
