from __future__ import annotations

from pathlib import Path

from nanoplug.registry.doctor import check
from nanoplug.registry.machine import Machine
from nanoplug.registry.rows import Row


def _row(status: str, *, is_wrong: bool) -> Row:
    return Row(kind="attention", name="a", id="d:a", distribution="d", version="1", api=">=1", status=status,
               reasons=("because",), is_wrong=is_wrong)  # fmt: skip


def test_a_sound_installation_is_ok_whatever_the_machine_lacks(tmp_path: Path) -> None:
    found = check([_row("unavailable", is_wrong=False)], Machine.here(), tmp_path / "base", [])
    assert all(one.ok for one in found)
    assert {"nanoplug", "python", "torch", "base folder", "c++ compiler", "attention d:a"} <= {
        one.name for one in found
    }


def test_a_wrong_row_a_refused_command_and_a_base_folder_that_is_none_are_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    rows = [_row("ready", is_wrong=True), _row("broken", is_wrong=True)]
    found = check(rows, Machine.here(), tmp_path / "file", [("d:p", "its command is refused")])
    assert [one.name for one in found if not one.ok] == [
        "base folder", "attention d:a", "attention d:a", "command of d:p"
    ]  # fmt: skip
