"""What is known about one project after parsing: every definition, what it calls, and what each file begins with.

Texts are not held: they are cut from the files' bytes by byte offsets.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

FUNCTION_KINDS = frozenset({"function", "method", "constructor", "destructor", "conversion"})
"""Templates of these have the same kind, with `template` set. A lambda belongs to the function around it."""
TYPE_KINDS = frozenset({"class", "struct", "union", "enum"})
PREAMBLE_KINDS = frozenset({"include", "define", "using", "typedef", "alias", "namespace_alias", "forward"})


@frozen(kw_only=True)
class Definition:
    """A function with its body, or a type with its members.

    usr: the key within the project: clang's USR (which names the file for internal linkage), or `ts:<file>#...` from
        tree-sitter, which knows no USR. kind: of `FUNCTION_KINDS` or `TYPE_KINDS`. template: has template parameters.
    file: path below the project root, with slashes. line: 1-based, of `start`.
    start, end: byte offsets in the file of the whole text, template header and trailing `;` of a type included.
    comment_start: byte offset of the comment that documents it, directly before `start`; `start` itself without one.
    body: byte offsets of `{` and behind `}` of a function's body; (end, end) where it has none (`= default`).
    scope: namespaces and classes around it, outermost first, as written (`""` is an anonymous namespace).
    container: USR of the type that a member belongs to, or "".
    calls: USRs of the functions that its text calls (constructors, operators and calls in lambdas included), each
        once, in order of first appearance; only of functions that the project defines, itself included if recursive.
    types: USRs of the project's types that its text names, likewise.
    parser: `clang` or `tree-sitter`.
    """

    usr: str
    kind: str
    name: str
    qualified_name: str
    file: str
    line: int
    start: int
    end: int
    comment_start: int
    body: tuple[int, int]
    scope: tuple[str, ...] = ()
    container: str = ""
    template: bool = False
    calls: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    parser: str = "clang"


@frozen(kw_only=True)
class PreamblePart:
    """An include, using, typedef, alias or forward declaration at namespace scope; byte offsets in its file.

    scope: namespaces around it. include: for kind `include`, the project file that it leads to, or "".
    """

    kind: str
    start: int
    end: int
    scope: tuple[str, ...] = ()
    include: str = ""


@frozen(kw_only=True)
class FileFacts:
    """sha256: of the bytes that the offsets belong to. parser: `clang`, `tree-sitter`, or `none` if nothing parsed."""

    path: str
    sha256: str
    language: str
    parser: str
    preamble: tuple[PreamblePart, ...] = ()


@frozen(kw_only=True)
class Problem:
    """Something that went wrong or was left out: its cause in few words (the key of the report), file and details."""

    cause: str
    file: str
    detail: str = ""


@frozen(kw_only=True)
class ProjectIndex:
    """project: its name. files by path. definitions: sorted by (file, start, usr), each USR once.

    The same for any number of workers, and from a cache.
    """

    project: str
    files: Mapping[str, FileFacts]
    definitions: tuple[Definition, ...]
    problems: tuple[Problem, ...] = ()
    counts: Mapping[str, int] = field(factory=dict)
