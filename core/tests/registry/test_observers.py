from __future__ import annotations

from typing import Any

import pytest

from nanoplug.registry.discover import discover
from nanoplug.registry.observers import observers

OBSERVER = """
from nanoplug.spec import hookimpl
heard = []

@hookimpl
def nanoplug_event(event):
    {body}
    heard.append(event["event"])
"""


def _heard(name: str) -> list[str]:
    import importlib

    heard: list[str] = importlib.import_module(f"{name}.manifest").heard
    return heard


def test_observers_hear_events_and_one_that_raises_is_heard_no_more(
    plugin_folder: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin_folder.add("ailing", {"manifest": OBSERVER.format(body="raise SystemExit('out of paper')")})
    plugin_folder.add("well", {"manifest": OBSERVER.format(body="pass")})
    plugin_folder.add_backend("silent")
    tell = observers(discover([str(plugin_folder.path)]))
    for name in ("run_start", "step"):
        tell({"event": name})
    assert _heard("well") == ["run_start", "step"]
    assert capsys.readouterr().err.count("observer ailing of ailing is heard no more: SystemExit: out of paper") == 1


@pytest.mark.parametrize("change", ["event['loss'] = 0", "event['inner']['x'] = 0", "event['list'].append(1)"])
def test_an_event_cannot_be_changed(plugin_folder: Any, change: str, capsys: pytest.CaptureFixture[str]) -> None:
    plugin_folder.add("ailing", {"manifest": OBSERVER.format(body=change)})
    event: dict[str, Any] = {"event": "step", "loss": 1.0, "inner": {"x": 1}, "list": []}
    observers(discover([str(plugin_folder.path)]))(event)
    assert event == {"event": "step", "loss": 1.0, "inner": {"x": 1}, "list": []}
    assert "is heard no more" in capsys.readouterr().err
