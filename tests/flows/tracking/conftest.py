"""What the tests of flows/tracking share: a store of a test's own."""

import pytest

from tests.support.tracked import new_store


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An empty embedded store in the folder ``work``, which is the working directory."""
    monkeypatch.chdir(tmp_path)  # which is put back
    return new_store(tmp_path / "work")
