from pathlib import Path

from nanoplug.corpus.source_files import MAX_BYTES
from nanoplug.corpus.source_tree import read_tree


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"// {name}\n")


def test_folders_are_skipped_below_the_root_only(tmp_path: Path) -> None:
    root = tmp_path / "build" / "third_party" / ".hidden" / "project"
    make(
        root,
        "a.cc",
        "src/b.h",
        "build/c.cc",
        "deps/d.cc",
        ".git/e.cc",
        "cmake-build-debug/f.cc",
        "x/vendor/g.c",
        "h.py",
    )
    tree = read_tree(root)
    assert list(tree.files) == ["a.cc", "src/b.h"]
    assert tree.counts == {"hidden, build or third-party folders": 5}


def test_headers_and_sources_are_told_apart(tmp_path: Path) -> None:
    make(tmp_path, "a.c", "b.cp", "c.hpp", "d.inl", "e.cuh", "f.H")
    files = read_tree(tmp_path).files
    assert {name: (file.source, file.language, file.cuda) for name, file in files.items()} == {
        "a.c": (True, "c", False), "b.cp": (True, "c++", False), "c.hpp": (False, "c++", False),
        "d.inl": (False, "c++", False), "e.cuh": (False, "c++", True), "f.H": (False, "c++", False),
    }  # fmt: skip


def test_what_cannot_be_parsed_is_named_and_the_rest_is_there(tmp_path: Path) -> None:
    make(tmp_path, "good.cc")
    (tmp_path / "nul.cc").write_bytes(b"int a;\0int b;")
    with open(tmp_path / "large.cc", "wb") as file:
        file.truncate(100 << 20)
    (tmp_path / "gone.cc").symlink_to("nowhere.cc")
    (tmp_path / "loop.cc").symlink_to("loop.cc")
    tree = read_tree(tmp_path)
    assert list(tree.files) == ["good.cc"]
    assert {problem.file: (problem.cause, problem.detail) for problem in tree.problems} == {
        "nul.cc": ("holds NUL bytes", "first at byte 6"),
        "large.cc": (f"larger than {MAX_BYTES:,} bytes", f"{100 << 20:,} bytes"),
        "gone.cc": ("broken link", f"leads to {tmp_path}/nowhere.cc"),
        "loop.cc": ("broken link", f"leads to {tmp_path}/loop.cc"),
    }


def test_a_file_and_links_to_it_are_one_file(tmp_path: Path) -> None:
    root = tmp_path / "root"
    make(root, "z.cc")
    make(tmp_path, "outside.cc")
    (root / "a.cc").symlink_to("z.cc")
    (root / "b.cc").symlink_to(tmp_path / "outside.cc")
    (root / "folder").symlink_to(tmp_path, target_is_directory=True)
    assert list(read_tree(root).files) == ["b.cc", "z.cc"]


def test_only_the_folders_asked_for(tmp_path: Path) -> None:
    make(tmp_path, "a/x.h", "b/y.h", "c/z.h")
    assert list(read_tree(tmp_path, ["c", "a"]).files) == ["a/x.h", "c/z.h"]
