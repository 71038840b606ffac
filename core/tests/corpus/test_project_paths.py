from pathlib import Path

from nanoplug.corpus.project_paths import ProjectPaths


def test_a_file_is_known_by_every_path_to_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    file = tmp_path / "a" / "x.h"
    file.touch()
    (tmp_path / "link.h").symlink_to(file)
    paths = ProjectPaths({str(file): "a/x.h"})
    for path in (file, tmp_path / "link.h", f"{tmp_path}/a/../a/./x.h"):
        assert paths.name_of(str(path)) == "a/x.h"
    assert paths.name_of("/usr/include/stdio.h") == ""
    assert paths.name_of("") == ""
