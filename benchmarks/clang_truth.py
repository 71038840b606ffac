"""What clang itself says about one translation unit: functions with a body and who calls whom, from its AST dump.

Reads `clang -Xclang -ast-dump=json` and nothing of the indexer, so that the indexer can be judged by it. The dump of a
file is hundreds of megabytes; only the top-level declarations that touch the project are parsed as JSON.

The dump leaves out a location's file where it is the file of the location written before, so locations are read in the
order of the text. It has no USR: a function is known by the file and the byte offset of its name, which a template and
its instantiations share, so that calls found in an instantiation are calls of the template's text. A constructor call
has no reference to the constructor either; it is found by the class's name and the constructor's type.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from attrs import define, field

FUNCTION_DECLS = {
    "FunctionDecl": "function",
    "CXXMethodDecl": "method",
    "CXXConstructorDecl": "constructor",
    "CXXDestructorDecl": "destructor",
    "CXXConversionDecl": "conversion",
}
CALLS = {
    "CallExpr": "call",
    "CXXMemberCallExpr": "method call",
    "CXXOperatorCallExpr": "operator",
    "UserDefinedLiteral": "operator",
}
CONSTRUCTIONS = {"CXXConstructExpr", "CXXTemporaryObjectExpr"}
RECORDS = {"CXXRecordDecl", "ClassTemplateSpecializationDecl", "ClassTemplatePartialSpecializationDecl", "RecordDecl"}
DEPENDENT = {"UnresolvedLookupExpr", "UnresolvedMemberExpr", "CXXDependentScopeMemberExpr"}
WRAPPERS = {"ImplicitCastExpr", "ParenExpr", "ConstantExpr", "MaterializeTemporaryExpr", "ExprWithCleanups"}
_NEW_FILE = re.compile(rb',\n *"file": "([^"\n]+)"')
_END = b"\n    }"

Place = tuple[str, int, str]
"""File as the dump names it, byte offset, and for what a macro makes its name: one macro may make several."""


@define(slots=True)
class Function:
    """A function's declaration that has a body. at: where its name stands. neutral: why it is not counted, or ""."""

    name: str
    kind: str
    at: Place
    start: int
    end: int
    body: int
    body_end: int
    neutral: str = ""
    resolved: bool = False
    dependent: set[str] = field(factory=set)


@define(slots=True)
class Decl:
    name: str
    at: Place
    mangled: str
    previous: str
    generated: bool
    function: Place | None = None


@define(slots=True)
class Unit:
    """Of one translation unit. edges: caller, callee's declaration id, kind, why the call is not counted, or "".

    constructions: caller, class and constructor type as written, why not counted.
    """

    functions: dict[Place, Function] = field(factory=dict)
    types: dict[Place, str] = field(factory=dict)
    defaulted: set[Place] = field(factory=set)
    decls: dict[str, Decl] = field(factory=dict)
    constructors: dict[str, dict[str, list[str]]] = field(factory=dict)
    edges: set[tuple[Place, str, str, str]] = field(factory=set)
    constructions: set[tuple[Place, str, str, str]] = field(factory=set)
    files: set[str] = field(factory=set)


def top_level(stream: Any) -> Iterator[bytes]:
    """The text of each top-level declaration of a dump, in order."""
    held = bytearray()
    begun = False
    while block := stream.read(1 << 22):
        start = max(0, len(held) - len(_END) - 1)
        held += block
        if not begun:
            where = held.find(b'"inner": [')
            if where < 0:
                continue
            del held[: where + len(b'"inner": [')]
            begun, start = True, 0
        begin = 0
        while (where := held.find(_END, start)) >= 0:
            after = held[where + len(_END) : where + len(_END) + 1]
            if not after:
                break
            if after in b",\n":
                yield bytes(held[begin : where + len(_END)]).lstrip(b", \n")
                begin = where + len(_END) + 1
            start = where + len(_END)
        del held[:begin]


def read_unit(clang: str, arguments: list[str], directory: Path, is_project: Callable[[str], bool]) -> tuple[Unit, str]:
    """Dump and read one translation unit; also what clang wrote on stderr."""
    command = [clang, "-fsyntax-only", "-w", *arguments, "-Xclang", "-ast-dump=json"]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE, stderr=errors)
        reader = Reader(is_project)
        for text in top_level(process.stdout):
            reader.read(text)
        process.wait()
        errors.seek(0)
        return reader.unit, errors.read().decode(errors="replace")


class Reader:
    """Walks declarations in the order of the dump."""

    def __init__(self, is_project: Callable[[str], bool]) -> None:
        self.unit = Unit()
        self.is_project = is_project
        self.file = ""
        self.scope: list[tuple[str, bool]] = []
        self.names: dict[str, str] = {}
        self._ours: dict[str, bool] = {}

    def read(self, text: bytes) -> None:
        """One top-level declaration, left out unless a file of the project has a part in it."""
        wanted = self.ours()
        last = ""
        if not wanted:
            for found in _NEW_FILE.finditer(text):
                last = found[1].decode()
                if self.ours(last):
                    wanted = True
                    break
        if wanted:
            self.visit(json.loads(text), None, "", None)
        else:
            self.file = last or self.file

    def ours(self, file: str | None = None) -> bool:
        name = self.file if file is None else file
        if name not in self._ours:
            self._ours[name] = self.is_project(name)
        return self._ours[name]

    def place(self, where: dict[str, Any]) -> tuple[Place | None, bool, int]:
        """Where in the file (of a macro: where it is used), whether in a macro, and behind the token there."""
        if "spellingLoc" in where:
            self.place(where["spellingLoc"])
            place, _, end = self.place(where["expansionLoc"])
            return place, True, end
        if "file" in where:
            self.file = where["file"]
        if "offset" not in where:
            return None, False, 0
        return (self.file, where["offset"], ""), False, where["offset"] + where.get("tokLen", 0)

    def visit(self, node: dict[str, Any], function: Function | None, neutral: str, constructor: Place | None) -> None:
        """neutral: why calls here are not counted. constructor: the place of the constructor that is walked."""
        kind = node.get("kind", "")
        at, in_macro, _ = self.place(node["loc"]) if "loc" in node else (None, False, 0)
        if at is not None and in_macro:
            at = (at[0], at[1], str(node.get("name", "")))
        begin: tuple[Place | None, bool, int] = (None, False, 0)
        end = 0
        if "range" in node:
            begin = self.place(node["range"].get("begin", {}))
            end = self.place(node["range"].get("end", {}))[2]
        inner = node.get("inner", [])
        if kind in FUNCTION_DECLS:
            self.function(node, at, begin[0], end, function, neutral)
            return
        if kind in ("NamespaceDecl", "EnumDecl") or kind in RECORDS:
            self.scoped(node, kind, at, function, neutral)
            return
        if kind == "CXXForRangeStmt":
            for number, child in enumerate(inner):
                hidden = "range-based for" if 2 <= number <= 6 else neutral
                self.visit(child, function, hidden, constructor)
            return
        if kind == "CXXCtorInitializer":
            for child in inner:
                written = child.get("range", {}).get("begin", {})
                offset = written.get("expansionLoc", written).get("offset")
                implied = constructor is not None and offset == constructor[1]
                self.visit(child, function, "implied initializer" if implied else neutral, constructor)
            return
        if kind in ("CXXDefaultArgExpr", "CXXDefaultInitExpr"):
            neutral = "default argument or initializer"
        if function is not None:
            self.expression(node, kind, function, neutral)
        elif kind == "LambdaExpr":
            function = Function("", "lambda", ("", 0, ""), 0, 0, 0, 0, neutral="outside of functions")
        for child in inner:
            if child:
                self.visit(child, function, neutral, constructor)

    def function(
        self,
        node: dict[str, Any],
        at: Place | None,
        begin: Place | None,
        end: int,
        around: Function | None,
        neutral: str,
    ) -> None:
        inner = node.get("inner", [])
        body = next((child for child in reversed(inner) if child.get("kind") in ("CompoundStmt", "CXXTryStmt")), None)
        name = str(node.get("name", ""))
        generated = bool(node.get("isImplicit")) or "explicitlyDefaulted" in node or bool(node.get("explicitlyDeleted"))
        place = at or ("", 0, "")
        if "explicitlyDefaulted" in node and self.ours(place[0]):
            self.unit.defaulted.add(place)
        decl = Decl(name, place, str(node.get("mangledName", "")), str(node.get("previousDecl", "")), generated)
        self.unit.decls[node["id"]] = decl
        if node["kind"] == "CXXConstructorDecl" and around is None:
            self.constructor(node, str(node["type"]["qualType"]))
        mine = around
        if body is not None and around is None and at is not None and self.ours(at[0]) and not generated:
            mine = self.unit.functions.get(at)
            written = body["range"]["begin"]
            if mine is None:
                mine = Function(name, FUNCTION_DECLS[node["kind"]], at, (begin or at)[1], end, _offset(written), 0)
                mine.body_end = _offset(body["range"]["end"]) + 1
                mine.neutral = "body of a macro" if "spellingLoc" in written else ""
                self.unit.functions[at] = mine
                self.unit.files.add(at[0])
            decl.function = at
        elif mine is None:
            mine = Function(name, "", place, 0, 0, 0, 0, neutral="generated or not of the project")
        before, mine.dependent = mine.dependent, set()
        for child in inner:
            if child:
                self.visit(child, mine, neutral, at if node["kind"] == "CXXConstructorDecl" else None)
        if body is not None and not mine.dependent and around is None:
            mine.resolved = True
        mine.dependent |= before

    def constructor(self, node: dict[str, Any], written_type: str) -> None:
        if not self.scope:
            return
        for name in {_qualified(self.scope, inline=True), _qualified(self.scope, inline=False)}:
            ids = self.unit.constructors.setdefault(name, {}).setdefault(written_type, [])
            ids.append(node["id"])

    def scoped(
        self, node: dict[str, Any], kind: str, at: Place | None, function: Function | None, neutral: str
    ) -> None:
        name = str(node.get("name", "(anonymous namespace)" if kind == "NamespaceDecl" else ""))
        self.names[node["id"]] = name
        if at is not None and self.ours(at[0]):
            self.unit.files.add(at[0])
            is_type = node.get("completeDefinition") or (kind == "EnumDecl" and node.get("inner"))
            if is_type and not node.get("isImplicit") and name and function is None:
                self.unit.types[at] = name
        held = self.scope
        parent = self.names.get(str(node.get("parentDeclContextId", "")))
        out_of_line = parent is not None and kind in RECORDS
        self.scope = [*held, *([(str(parent), False)] if out_of_line else []), (name, bool(node.get("isInline")))]
        for child in node.get("inner", []):
            if child:
                self.visit(child, function, neutral, None)
        self.scope = held

    def expression(self, node: dict[str, Any], kind: str, function: Function, neutral: str) -> None:
        if kind in CALLS:
            callee = _callee(node)
            if callee:
                self.unit.edges.add((function.at, callee, CALLS[kind], neutral))
        elif kind in CONSTRUCTIONS:
            written = node["type"].get("desugaredQualType", node["type"]["qualType"])
            if node.get("elidable"):
                neutral = "copy that may be left out"
            self.unit.constructions.add((function.at, written, node["ctorType"]["qualType"], neutral))
        elif kind in DEPENDENT:
            function.dependent |= {str(node.get("name", "")), str(node.get("member", ""))}
            function.dependent |= {str(found.get("name", "")) for found in node.get("lookups", [])}
            function.dependent.add("?")
        elif kind == "CXXUnresolvedConstructExpr":
            function.dependent.add("?")


def _callee(node: dict[str, Any]) -> str:
    inner = node.get("inner", [])
    found = inner[0] if inner else {}
    while found.get("kind") in WRAPPERS and found.get("inner"):
        found = found["inner"][0]
    if found.get("kind") == "DeclRefExpr":
        return str(found.get("referencedDecl", {}).get("id", ""))
    return str(found.get("referencedMemberDecl", ""))


def _offset(where: dict[str, Any]) -> int:
    return int(where.get("expansionLoc", where).get("offset", -1))


def _qualified(scope: list[tuple[str, bool]], *, inline: bool) -> str:
    return "::".join(name for name, is_inline in scope if inline or not is_inline)


def class_name(written: str) -> str:
    """`const ns::Foo<int, Bar<2>>[3]` is `ns::Foo`: the key of `Unit.constructors`."""
    kept, depth = [], 0
    for letter in written:
        depth += (letter == "<") - (letter == ">")
        if depth == 0 and letter != ">":
            kept.append(letter)
    name = re.sub(r"\[[^]]*\]", "", "".join(kept))
    return re.sub(r"\b(const|volatile|class|struct|union|typename)\b", "", name).strip()
