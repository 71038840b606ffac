"""Each broken plugin is reported with its cause and harms nobody else."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from nanoplug.registry.catalogue import Plugin, Problem
from nanoplug.registry.discover import discover


def _only(plugin_folder: Any) -> Plugin:
    (plugin,) = discover([str(plugin_folder.path)]).plugins
    return plugin


def _problem(plugin: Plugin) -> Problem:
    problems = plugin.problems or tuple(problem for entry in plugin.entries for problem in entry.problems)
    assert len(problems) == 1
    return problems[0]


def test_a_backend_is_found_with_where_it_is_from(plugin_folder: Any) -> None:
    plugin_folder.add_backend("well")
    (entry,) = discover([str(plugin_folder.path)]).entries()
    assert (entry.kind, entry.name, entry.id, entry.version) == ("attention", "well", "well:well", "1.0")
    assert not entry.problems


@pytest.mark.parametrize(
    "manifest, says, cause",
    [
        ("raise RuntimeError('no licence')", "RuntimeError: no licence", "manifest.py"),
        ("import sys; sys.exit(3)", "sys.exit(3)", "SystemExit"),
        ("class Odd(BaseException): pass\nraise Odd('x')", "Odd: x", "Odd"),
        ("import nowhere_at_all", "No module named 'nowhere_at_all'", "ModuleNotFoundError"),
        ("def broken(:", "SyntaxError", "manifest.py"),
        ("pass", "implements no hook", ""),
        ("def nanoplug_attention(): return []", "not marked with @hookimpl", ""),
        ("def nanoplug_atention(): return []", "did you mean 'nanoplug_attention'", ""),
        (
            "from nanoplug.spec import hookimpl\n@hookimpl\ndef nanoplug_kernl(): return []",
            "unknown hook 'nanoplug_kernl' (did you mean 'nanoplug_kernel'?)",
            "PluginValidationError",
        ),
        (
            "from nanoplug.spec import hookimpl\n@hookimpl\ndef nanoplug_event(evnt): pass",
            "PluginValidationError",
            "evnt",
        ),
        (
            "from nanoplug.spec import hookimpl\n@hookimpl\ndef nanoplug_device(): 1/0",
            "ZeroDivisionError",
            "manifest.py",
        ),
        ("from nanoplug.spec import hookimpl\n@hookimpl\ndef nanoplug_device(): return {}", "must return a list", ""),
        ("from nanoplug.spec import hookimpl\n@hookimpl\ndef nanoplug_device(): return ['cpu']", "got 'cpu'", ""),
        (
            "from nanoplug.spec import *\n@hookimpl\ndef nanoplug_device(): return [Spec(name=0, summary=0, load=0)]",
            "must return DeviceSpec values",
            "",
        ),
    ],
)
def test_a_broken_manifest_is_reported_with_its_cause(plugin_folder: Any, manifest: str, says: str, cause: str) -> None:
    plugin_folder.add("ailing", {"manifest": manifest})
    plugin_folder.add_backend("well")
    catalogue = discover([str(plugin_folder.path)])
    assert [entry.name for entry in catalogue.entries()] == ["well"]
    (failed,) = catalogue.failed()
    assert failed.name == "ailing"
    assert says in _problem(failed).text
    assert cause in _problem(failed).cause


def test_ctrl_c_is_not_a_defect_of_a_plugin(plugin_folder: Any) -> None:
    plugin_folder.add("ailing", {"manifest": "raise KeyboardInterrupt"})
    with pytest.raises(KeyboardInterrupt):
        discover([str(plugin_folder.path)])


@pytest.mark.parametrize(
    "declares, says",
    [
        ("api='>=99'", "speaks hook API >=99"),
        ("api='new'", "not a version range"),
        ("load='nothing'", "must be 'module:object'"),
        ("name='a:b'", "must be text without"),
        ("name='auto'", "meaning of its own"),
        ("rank='high'", "whole number"),
        ("load_limit_s=0", "positive"),
        ("head_dims=64", "container"),
        ("dtypes={'fp8'}", "'fp8'"),
        ("needs={'cuda'}", "Needs value"),
        ("needs=Needs(distributions='torch 2')", "'2' is not a version range"),
        ("needs=Needs(compute_capability='9.0')", "'9.0'"),
        ("options=dict", "attrs class"),
        ("options=Opaque", "plain values"),
    ],
)
def test_a_malformed_spec_is_listed_as_broken(plugin_folder: Any, declares: str, says: str) -> None:
    plugin_folder.add_backend("ailing", declares, manifest="@frozen\nclass Opaque:\n    x: object = print\n")
    (entry,) = _only(plugin_folder).entries
    assert [says in problem.text for problem in entry.faults()] == [True]


def test_a_kernel_must_know_its_functions(plugin_folder: Any) -> None:
    plugin_folder.add_backend("ailing", "ops={'softmax'}, reference=True", kind="kernel")
    (entry,) = _only(plugin_folder).entries
    texts = [problem.text for problem in entry.faults()]
    assert len(texts) == 2
    assert "'softmax'" in texts[0]
    assert "reference=True needs all" in texts[1]


def test_one_name_from_two_distributions_names_both_and_the_id_still_picks(plugin_folder: Any) -> None:
    plugin_folder.add_backend("first", "name='same'")
    plugin_folder.add_backend("second", "name='same'")
    plugin_folder.add_backend("third", "name='same'", kind="kernel")
    for entry in discover([str(plugin_folder.path)]).entries("attention"):
        (problem,) = entry.faults()
        assert "first 1.0" in problem.text
        assert "second 1.0" in problem.text
        assert entry.faults(by_id=True) == ()
    (kernel,) = discover([str(plugin_folder.path)]).entries("kernel")
    assert not kernel.problems


def test_a_broken_claimant_does_not_take_the_name_from_a_sound_one(plugin_folder: Any) -> None:
    plugin_folder.add_backend("first", "name='same'")
    plugin_folder.add_backend("second", "name='same', api='>=99'")
    first, second = discover([str(plugin_folder.path)]).entries()
    assert not first.faults()
    assert second.faults()


def test_a_distribution_earlier_on_the_path_shadows_a_later_one(plugin_folder: Any, tmp_path: Any) -> None:
    plugin_folder.add_backend("same_name")
    later = type(plugin_folder)(tmp_path / "later")
    later.add("Same.Name", {"manifest": "raise RuntimeError"}, version="0.5")
    (plugin,) = discover([str(plugin_folder.path), str(later.path)]).plugins
    assert plugin.version == "1.0"


def test_malformed_metadata_of_anybody_stops_nothing(plugin_folder: Any) -> None:
    plugin_folder.add("stranger", {}, entry_points="[console_scripts]\nthis is no entry point\n")
    plugin_folder.add("ailing", {}, entry_points="[nanoplug.plugins]\nthis is no entry point\n")
    (plugin_folder.path / "bytes-1.0.dist-info").mkdir()
    (plugin_folder.path / "bytes-1.0.dist-info" / "entry_points.txt").write_bytes(b"[nanoplug.plugins]\n\xff\xfe = x")
    plugin_folder.add_backend("well")
    (plugin_folder.path / "well-1.0.dist-info" / "METADATA").unlink()
    catalogue = discover([str(plugin_folder.path)])
    assert [entry.name for entry in catalogue.entries()] == ["well"]
    assert "does not parse" in _problem(next(catalogue.failed())).text


@pytest.mark.parametrize("how", ["import numpy", "from numpy import array", "import ailing.inner"])
def test_a_heavy_manifest_is_listed_and_reported(plugin_folder: Any, how: str) -> None:
    import numpy  # noqa: F401  loaded already, so that sys.modules alone could not tell

    plugin_folder.add_backend("ailing", manifest=how)
    (plugin_folder.path / "ailing" / "inner.py").write_text("import numpy\n")
    plugin_folder.add_backend("well")
    ailing, well = discover([str(plugin_folder.path)]).entries()
    assert ailing.faults() == ()
    assert "heavy: its manifest imports numpy" in ailing.problems[0].text
    assert not well.problems


def test_what_a_manifest_prints_stays_out_of_stdout(plugin_folder: Any, capsys: pytest.CaptureFixture[str]) -> None:
    plugin_folder.add_backend("chatty", manifest="print('hello')")
    discover([str(plugin_folder.path)])
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "hello\n")


def test_discovery_imports_no_backend(plugin_folder: Any) -> None:
    plugin_folder.add_backend("well", backend="raise RuntimeError('loaded')")
    discover([str(plugin_folder.path)])
    assert "well.manifest" in sys.modules
    assert "well.backend" not in sys.modules
