from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nanoplug.registry.discover import discover
from nanoplug.registry.machine import Machine
from nanoplug.registry.rows import Row, rows
from nanoplug.registry.verdicts import Verdicts

COUNTED = "open({path!r}, 'a').write('x')\nclass Backend: pass"


def _row(plugin_folder: Any, tmp_path: Path, **options: Any) -> Row:
    (row,) = rows(discover([str(plugin_folder.path)]), Machine.here(), Verdicts(path=tmp_path / "p.json"), **options)
    return row


@pytest.mark.parametrize(
    "declares, backend, status, says",
    [
        ("", "class Backend: pass", "ready", None),
        ("needs=Needs(platforms='plan9')", "class Backend: pass", "unavailable", "plan9"),
        ("needs=Needs(platforms='plan9')", "import os; os._exit(7)", "broken", "has no 'Backend'"),
        ("api='>=99'", "class Backend: pass", "broken", ">=99"),
        ("", "Other = 1", "broken", "lies"),
        ("", "import nowhere_at_all\nclass Backend: pass", "broken", "nowhere_at_all"),
        ("", "import os; os._exit(7)", "quarantined", "status 7"),
        ("load_limit_s=1", "import time; time.sleep(99)", "quarantined", "1 s"),
    ],
)
def test_status(plugin_folder: Any, tmp_path: Path, declares: str, backend: str, status: str, says: str | None) -> None:
    plugin_folder.add_backend("thing", declares, backend=backend)
    row = _row(plugin_folder, tmp_path)
    assert row.status == status
    assert len(row.reasons) == (says is not None)
    assert (says or "") in " ".join(row.reasons)
    assert row.is_wrong == (status in ("broken", "quarantined"))
    assert set(row.to_dict()) == {"kind", "name", "id", "distribution", "version", "api", "status", "reasons"}


def test_a_plugin_that_gave_no_backend_is_a_row_of_its_own(plugin_folder: Any, tmp_path: Path) -> None:
    plugin_folder.add("ailing", {"manifest": "raise RuntimeError('no licence')"})
    row = _row(plugin_folder, tmp_path)
    assert (row.kind, row.name, row.status, row.is_wrong) == ("", "ailing", "broken", True)
    assert "no licence" in row.reasons[0]
    assert "Traceback" in row.causes[0]


def test_a_heavy_plugin_is_ready_and_wrong(plugin_folder: Any, tmp_path: Path) -> None:
    plugin_folder.add_backend("thing", manifest="import numpy")
    row = _row(plugin_folder, tmp_path)
    assert (row.status, row.is_wrong) == ("ready", True)
    assert "heavy" in row.reasons[0]


def test_twins_are_broken_and_probed_all_the_same(plugin_folder: Any, tmp_path: Path) -> None:
    plugin_folder.add_backend("first", "name='same'")
    plugin_folder.add_backend("second", "name='same'")
    found = rows(discover([str(plugin_folder.path)]), Machine.here(), Verdicts(path=tmp_path / "p.json"))
    assert [(row.id, row.status) for row in found] == [("first:same", "broken"), ("second:same", "broken")]


def test_each_backend_is_loaded_once_and_never_without_leave(plugin_folder: Any, tmp_path: Path) -> None:
    count = tmp_path / "count"
    plugin_folder.add_backend("thing", backend=COUNTED.format(path=str(count)))
    assert _row(plugin_folder, tmp_path, may_probe=False).status == "ready"
    assert not count.exists()
    for _ in range(3):
        assert _row(plugin_folder, tmp_path).status == "ready"
    assert count.read_text() == "x"


def test_a_limit_replaces_that_of_the_spec(plugin_folder: Any, tmp_path: Path) -> None:
    plugin_folder.add_backend("thing", backend="import time; time.sleep(2)\nclass Backend: pass")
    assert _row(plugin_folder, tmp_path, limit_s=0.5).status == "quarantined"
    assert _row(plugin_folder, tmp_path, limit_s=0.5).status == "quarantined"
    assert _row(plugin_folder, tmp_path).status == "ready"


def test_rows_of_one_kind(plugin_folder: Any, tmp_path: Path) -> None:
    plugin_folder.add_backend("thing")
    plugin_folder.add_backend("kernel", kind="kernel")
    plugin_folder.add("ailing", {"manifest": "raise RuntimeError"})
    assert _row(plugin_folder, tmp_path, kind="kernel").name == "kernel"
