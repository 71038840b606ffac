from pathlib import Path

from nanoplug.corpus.missing_headers import MissingHeaders


def write(root: Path, **files: str) -> None:
    for name, content in files.items():
        (root / name.replace("_", ".")).write_text(content)


def test_a_file_lacks_what_it_or_its_headers_surely_include(tmp_path: Path) -> None:
    (tmp_path / "inc").mkdir()
    (tmp_path / "inc" / "there.h").touch()
    write(
        tmp_path,
        good_cc='#include <there.h>\n#include "beside.h"\n#ifdef _WIN32\n#include <windows.h>\n#endif\n'
        "#include MACRO\n",
        beside_h="#ifndef B_H\n#define B_H\n#include <there.h>\n#endif\n",
        bad_h="#ifndef C_H\n#define C_H\n#include <lost.h> // text\n#endif\n",
        user_cc='#include "beside.h"\n#include "bad.h"\n',
        cycle_h='#include "cycle.h"\n',
    )
    headers = MissingHeaders(["-DX", f"-I{tmp_path}/inc", "-Xclang", "-internal-isystem", "-Xclang", "/sys"])
    names = ["good.cc", "beside.h", "bad.h", "user.cc", "cycle.h"]
    assert [name for name in names if headers.lacks(tmp_path / name)] == ["bad.h", "user.cc"]
    assert not MissingHeaders(["-isystem", f"{tmp_path}/inc"]).lacks(tmp_path / "good.cc")
