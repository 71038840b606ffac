"""Reads a file by its grammar alone, where clang cannot: definitions and names, nothing about what a name means."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from attrs import define, field

from nanoplug.corpus.clang_toolchain import ToolMissingError
from nanoplug.corpus.short_keys import short_key
from nanoplug.corpus.source_tree import TreeFile
from nanoplug.corpus.text_spans import comment_before, with_semicolon

NAME_ONLY = "?"
"""Begins the key of a call or type of which only the name is known."""
_TYPES = {f"{kind}_specifier": kind for kind in ("class", "struct", "union", "enum")}
_PREAMBLE = {
    "preproc_include": "include", "preproc_def": "define", "preproc_function_def": "define",
    "using_declaration": "using", "type_definition": "typedef", "alias_declaration": "alias",
    "namespace_alias_definition": "namespace_alias",
}  # fmt: skip
_TRANSPARENT = frozenset(
    {"translation_unit", "declaration_list", "field_declaration_list", "preproc_if", "preproc_ifdef", "preproc_else",
     "preproc_elif", "preproc_elifdef", "friend_declaration", "ERROR"}
)  # fmt: skip
_NAMES = frozenset({"identifier", "field_identifier", "destructor_name", "operator_name", "operator_cast"})
_BODIES = frozenset({"compound_statement", "try_statement", "constructor_try_statement"})

Scope = tuple[str, ...]


def parse_with_tree_sitter(file: TreeFile) -> dict[str, Any]:
    """Facts about one file in the form of `UnitParser`. Keys are `ts:<file>#<name>(<parameters>)`.

    Raises ToolMissingError if tree-sitter is not installed.
    """
    data = file.path.read_bytes()
    reading = _Reading(file.name, data)
    reading.declarations(_parser("c" if file.language == "c" else "cpp").parse(data).root_node, (), "")
    return {
        "file": file.name,
        "sha256": file.sha256,
        "definitions": [reading.definitions[key] for key in sorted(reading.definitions)],
        "preamble": sorted(reading.preamble),
    }


@lru_cache(maxsize=2)
def _parser(language: str) -> Any:
    try:
        import tree_sitter
        import tree_sitter_c
        import tree_sitter_cpp
    except ImportError as error:
        raise ToolMissingError(
            f"files that clang cannot parse are read by tree-sitter, which is not installed: {error}.",
            todo="pip install 'nanoplug[clang]'.",
        ) from error
    grammar = tree_sitter_c if language == "c" else tree_sitter_cpp
    return tree_sitter.Parser(tree_sitter.Language(grammar.language()))


@define
class _Reading:
    name: str
    data: bytes
    definitions: dict[str, dict[str, Any]] = field(factory=dict)
    preamble: list[list[Any]] = field(factory=list)

    def declarations(self, node: Any, scope: Scope, owner: str, outer: Any = None) -> None:
        """Enter `node` and what is in it. owner: key of the type around it. outer: the template header around it."""
        kind = node.type
        whole = outer or node
        if kind in _TRANSPARENT:
            for child in node.children:
                self.declarations(child, scope, owner)
        elif kind == "namespace_definition":
            name = node.child_by_field_name("name")
            inner = (*scope, *(self._text(name).replace(" ", "").split("::") if name else [""]))
            self.declarations(node.child_by_field_name("body"), inner, owner)
        elif kind == "linkage_specification":
            self.declarations(node.child_by_field_name("body"), scope, owner)
        elif kind == "template_declaration":
            for child in node.named_children:
                if child.type not in ("template_parameter_list", "requires_clause", "comment"):
                    self.declarations(child, scope, owner, whole)
        elif kind == "function_definition":
            self._function(node, whole, scope, owner)
        elif kind in _TYPES:
            self._type(node, whole, scope, owner)
        elif kind in ("declaration", "field_declaration", "type_definition"):
            of_type = node.child_by_field_name("type")
            if of_type is not None and of_type.type in _TYPES and of_type.child_by_field_name("body"):
                self._type(of_type, node if outer is None else outer, scope, owner, node)
            elif kind == "type_definition" and not owner:
                self._part("typedef", node, scope)
        elif kind in _PREAMBLE and not owner:
            self._part(_PREAMBLE[kind], whole, scope)

    def _function(self, node: Any, whole: Any, scope: Scope, owner: str) -> None:
        declarator = node.child_by_field_name("declarator")
        named = _function_declarator(declarator)
        if named is None:
            return
        name, path = self._declared_name(named)
        body = next((child for child in node.children if child.type in _BODIES), None)
        kind = "conversion" if named.type == "operator_cast" else "function"
        if not name or (body is None and "= default" not in self._text(node)):
            return
        parameters = named.child_by_field_name("parameters")
        signature = "".join(self._text(parameters).split()) if parameters is not None else ""
        if kind == "function" and (owner or path):
            within = path[-1] if path else scope[-1]
            kind = "constructor" if name == within else "destructor" if name.startswith("~") else "method"
        record = self._record(whole, kind, name, (*scope, *path), signature, scope, owner)
        if body is not None:
            record["body"] = [body.start_byte, body.end_byte]
        record["template"] = whole is not node
        self._references(node, record)

    def _type(self, node: Any, whole: Any, scope: Scope, owner: str, statement: Any = None) -> None:
        body = node.child_by_field_name("body")
        named = node.child_by_field_name("name")
        if body is None:
            if not owner:
                self._part("forward", whole, scope)
            return
        if named is None and statement is not None and statement.type == "type_definition":
            named = statement.child_by_field_name("declarator")
        name = self._text(named).partition("<")[0].strip() if named is not None else ""
        record = self._record(whole, _TYPES[node.type], name, scope, "", scope, owner)
        record["end"] = with_semicolon(self.data, max(node.end_byte, whole.end_byte))
        record["body"] = [record["end"]] * 2
        record["template"] = whole.type == "template_declaration"
        self._references(node, record, types_only=True)
        self.declarations(body, (*scope, name), record["key"])

    def _record(
        self, whole: Any, kind: str, name: str, path: Scope, signature: str, scope: Scope, owner: str
    ) -> dict[str, Any]:
        start, end = whole.start_byte, whole.end_byte
        qualified = "::".join(part for part in (*path, name) if part)
        key = f"ts:{self.name}#{qualified}{signature}"
        if key in self.definitions:
            key = f"{key}@{start}"
        record = {
            "key": key, "kind": kind, "name": name, "qualified": qualified, "start": start, "end": end,
            "body": [end, end], "line": whole.start_point[0] + 1, "comment": comment_before(self.data, start),
            "scope": list(scope), "container": short_key(owner) if owner else "", "template": False,
            "calls": {}, "types": {}, "guesses": {}, "instances": [],
        }  # fmt: skip
        self.definitions[key] = record
        return record

    def _references(self, node: Any, record: dict[str, Any], types_only: bool = False) -> None:
        for inner in _descendants(node):
            if inner.type in ("type_identifier", "template_type"):
                name = self._text(inner).partition("<")[0].strip()
                record["types"].setdefault(NAME_ONLY + name, inner.start_byte)
            elif inner.type == "call_expression" and not types_only:
                name = self._called_name(inner.child_by_field_name("function"))
                if name:
                    record["calls"].setdefault(NAME_ONLY + name, inner.start_byte)

    def _called_name(self, node: Any) -> str:
        """The last part of what is called: `f` of `a::f<int>(x)` and of `p->f(x)`."""
        while node is not None and node.type not in _NAMES:
            node = node.child_by_field_name("name") or node.child_by_field_name("field")
        return self._text(node) if node is not None else ""

    def _declared_name(self, node: Any) -> tuple[str, Scope]:
        """The name that a declarator gives, and the classes and namespaces written before it."""
        path: list[str] = []
        around = node.parent if node.type == "operator_cast" else None
        while around is not None and around.type == "qualified_identifier":
            path.insert(0, self._text(around.child_by_field_name("scope")).partition("<")[0].strip())
            around = around.parent
        name = node if node.type == "operator_cast" else node.child_by_field_name("declarator")
        while name is not None and name.type == "qualified_identifier":
            part = name.child_by_field_name("scope")
            if part is not None:
                path.append(self._text(part).partition("<")[0].strip())
            name = name.child_by_field_name("name")
        if name is None:
            return "", ()
        if name.type == "template_function":
            name = name.child_by_field_name("name")
        text = self._text(name)
        if name.type == "operator_cast":
            text = text.partition("(")[0].strip()
        return " ".join(text.split()), tuple(path)

    def _part(self, kind: str, node: Any, scope: Scope) -> None:
        end = node.start_byte + len(self.data[node.start_byte : node.end_byte].rstrip())
        end = end if node.type.startswith("preproc") else with_semicolon(self.data, end)
        self.preamble.append([kind, node.start_byte, end, list(scope)])

    def _text(self, node: Any) -> str:
        return self.data[node.start_byte : node.end_byte].decode("utf-8", "replace")


def _function_declarator(node: Any) -> Any:
    """The part of a declarator that has the parameters, or None if it declares no function."""
    while node is not None and node.type not in ("function_declarator", "operator_cast"):
        if node.type == "qualified_identifier":
            # `A::operator bool()`: the parameters are inside.
            node = node.child_by_field_name("name")
        else:
            # A reference's declarator is a child without a field name.
            node = node.child_by_field_name("declarator") or next(
                (child for child in node.named_children if child.type.endswith("declarator")), None
            )
    return node


def _descendants(node: Any) -> Iterator[Any]:
    """Every node below `node`, in the order of the text."""
    waiting = list(reversed(node.children))
    while waiting:
        inner = waiting.pop()
        yield inner
        waiting.extend(reversed(inner.children))
