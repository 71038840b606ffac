"""Walks the declarations of one unit: definitions of the project's files, and what each file begins with."""

from __future__ import annotations

from typing import Any

from nanoplug.corpus.clang_binding import CONTINUE, VISITOR, Cursor, Kind
from nanoplug.corpus.reference_walk import References, ReferenceWalk
from nanoplug.corpus.text_spans import comment_before, with_default, with_outer_templates, with_semicolon
from nanoplug.corpus.unit_view import FUNCTIONS, TYPES, SeenFile, UnitView

_KINDS = {
    Kind.FUNCTION: "function", Kind.METHOD: "method", Kind.CONSTRUCTOR: "constructor",
    Kind.DESTRUCTOR: "destructor", Kind.CONVERSION: "conversion", Kind.STRUCT: "struct", Kind.UNION: "union",
    Kind.CLASS: "class", Kind.ENUM: "enum",
}  # fmt: skip
_PREAMBLE = {
    Kind.USING_DIRECTIVE: "using", Kind.USING_DECLARATION: "using", Kind.NAMESPACE_ALIAS: "namespace_alias",
    Kind.TYPEDEF: "typedef", Kind.TYPE_ALIAS: "alias", Kind.TYPE_ALIAS_TEMPLATE: "alias",
}  # fmt: skip
_TEMPLATES = frozenset({Kind.FUNCTION_TEMPLATE, Kind.CLASS_TEMPLATE, Kind.PARTIAL_SPECIALIZATION})
_NESTING = frozenset({Kind.NAMESPACE, Kind.LINKAGE_SPEC, Kind.UNEXPOSED, Kind.FRIEND})

Scope = tuple[str, ...]


class DeclarationWalk:
    """instances: the instantiations of templates that the definitions use, by id."""

    def __init__(self, view: UnitView) -> None:
        self.view = view
        self.references = ReferenceWalk(view)
        self.instances: dict[str, Cursor] = {}
        # The last type of each file, which a typedef behind it may wrap.
        self._last_type: dict[str, dict[str, Any]] = {}

    def walk(self) -> None:
        """Fill the definitions and preambles of the view's files."""
        view = self.view
        top: list[tuple[Cursor, SeenFile]] = []

        def visit(cursor: Cursor, parent: Cursor, data: Any) -> int:
            if not 500 <= cursor.kind < 600:
                file, _ = view.place(view.library.clang_getCursorLocation(cursor))
                if file is not None:
                    top.append((Cursor.from_buffer_copy(cursor), file))
            return CONTINUE

        view.library.clang_visitChildren(view.library.clang_getTranslationUnitCursor(view.unit), VISITOR(visit), None)
        for cursor, file in top:
            self._declaration(cursor, file, (), None)

    def _declaration(self, cursor: Cursor, file: SeenFile, scope: Scope, owner: dict[str, Any] | None) -> None:
        """owner: the type that it is written in."""
        kind = cursor.kind
        library = self.view.library
        if kind in _NESTING:
            inner = (*scope, self.view.spelling(cursor)) if kind == Kind.NAMESPACE else scope
            for child in self.view.children(cursor):
                place, _ = self.view.place(library.clang_getCursorLocation(child))
                if place is not None:
                    self._declaration(child, place, inner, owner)
        elif kind in FUNCTIONS:
            if self._is_function_definition(cursor):
                self._function(cursor, file, scope)
            elif owner is not None:
                self._add(owner, file, self.references.walk([cursor], file))
        elif kind in TYPES:
            if owner is not None and not self.view.spelling(cursor):
                # An unnamed union or enum inside a type is a part of that type's text.
                self._add(owner, file, self.references.walk([cursor], file))
            elif library.clang_isCursorDefinition(cursor):
                self._type(cursor, file, scope)
            elif owner is None:
                self._part("forward", cursor, file, scope)
        elif owner is not None:
            self._add(owner, file, self._own_references(cursor, file))
        elif kind in _PREAMBLE and not self._wraps_type(cursor, file):
            self._part(_PREAMBLE[kind], cursor, file, scope)

    def _is_function_definition(self, cursor: Cursor) -> bool:
        library = self.view.library
        if library.clang_CXXMethod_isDeleted(cursor):
            return False
        return bool(library.clang_isCursorDefinition(cursor) or library.clang_CXXMethod_isDefaulted(cursor))

    def _function(self, cursor: Cursor, file: SeenFile, scope: Scope) -> None:
        definition = self._definition(cursor, file, scope)
        if definition is None:
            return
        found = self.references.walk([cursor], file, function=cursor)
        start, end = definition["start"], definition["end"]
        if self.view.library.clang_CXXMethod_isDefaulted(cursor):
            end = definition["end"] = with_default(file.data, start, end)
            body = [end, end]
        else:
            body = list(found.body or (0, 0))
        inside = start <= body[0] <= body[1] <= end
        if not inside or (body[0] < end and not _braced(file.data, body)):
            # A macro makes it: the file has no text of it.
            del file.definitions[definition["key"]]
            return
        definition["body"] = body
        self._add(definition, file, found)

    def _type(self, cursor: Cursor, file: SeenFile, scope: Scope) -> None:
        definition = self._definition(cursor, file, scope)
        if definition is not None and not _braced(file.data, [definition["start"], definition["end"]]):
            del file.definitions[definition["key"]]
            definition = None
        if definition is None:
            definition = {"name": self.view.name(cursor), "calls": {}, "types": {}, "guesses": {}, "instances": []}
        else:
            self._finish_type(definition, file)
        inner = (*scope, definition["name"])
        for child in self.view.children(cursor):
            place, _ = self.view.place(self.view.library.clang_getCursorLocation(child))
            if place is not None:
                self._declaration(child, place, inner, definition)

    def _finish_type(self, definition: dict[str, Any], file: SeenFile) -> None:
        definition["end"] = with_semicolon(file.data, definition["end"])
        definition["body"] = [definition["end"]] * 2
        self._last_type[file.name] = definition

    def _definition(self, cursor: Cursor, file: SeenFile, scope: Scope) -> dict[str, Any] | None:
        """The record of a definition, entered in its file; None if it has no text of its own there."""
        view = self.view
        place, start, end = view.extent(cursor)
        if place is not file:
            return None
        if cursor.kind == Kind.FUNCTION_TEMPLATE:
            start = with_outer_templates(file.data, start)
        key = view.key(cursor)
        known = file.definitions.get(key)
        if known is not None and known["start"] != start:
            key = f"{key}@{start}"
        parent = view.library.clang_getCursorSemanticParent(cursor)
        template = cursor.kind in _TEMPLATES
        kind = view.library.clang_getTemplateCursorKind(cursor) if template else cursor.kind
        definition = {
            "key": key, "kind": _KINDS.get(kind, "function"), "name": view.name(cursor),
            "qualified": view.qualified(cursor), "start": start, "end": end, "body": [end, end],
            "line": file.data.count(b"\n", 0, start) + 1, "comment": comment_before(file.data, start),
            "scope": list(scope), "container": view.short_key(parent) if parent.kind in TYPES else "",
            "template": template, "calls": {}, "types": {}, "guesses": {}, "instances": [],
        }  # fmt: skip
        return file.definitions.setdefault(key, definition)

    def _own_references(self, cursor: Cursor, file: SeenFile) -> References:
        """References of a member and of its children; `walk` alone looks at children only."""
        found = self.references.walk([cursor], file)
        if cursor.kind in (Kind.TYPE_REF, Kind.TEMPLATE_REF):
            target = self.references.type(self.view.library.clang_getCursorReferenced(cursor))
            if target.key:
                _, offset = self.view.place(self.view.library.clang_getCursorLocation(cursor))
                found.types.setdefault(target.key, offset)
        return found

    def _add(self, definition: dict[str, Any], file: SeenFile, found: References) -> None:
        for name, more in (("calls", found.calls), ("types", found.types), ("guesses", found.guesses)):
            known = definition[name]
            for key, offset in more.items():
                known[key] = min(offset, known.get(key, offset))
        if found.instances:
            self.instances.update(found.instances)
            definition["instances"] = sorted({*definition["instances"], *found.instances})

    def _part(self, kind: str, cursor: Cursor, file: SeenFile, scope: Scope) -> None:
        place, start, end = self.view.extent(cursor)
        if place is file:
            file.preamble.append([kind, start, with_semicolon(file.data, end), list(scope)])

    def _wraps_type(self, cursor: Cursor, file: SeenFile) -> bool:
        """Whether this is the `typedef ... name;` around the type before it, which then gets the whole text."""
        last = self._last_type.get(file.name)
        place, start, end = self.view.extent(cursor)
        if cursor.kind != Kind.TYPEDEF or last is None or place is not file:
            return False
        if not start <= last["start"] < end:
            return False
        if start < last["start"]:
            last.update(start=start, comment=comment_before(file.data, start))
            last["line"] = file.data.count(b"\n", 0, start) + 1
            last["end"] = max(last["end"], with_semicolon(file.data, end))
            last["body"] = [last["end"]] * 2
        return True


def _braced(data: bytes, span: list[int]) -> bool:
    """Whether a body or a type has its braces in the text of the file, and not from a macro."""
    text = data[span[0] : span[1]]
    return text.endswith(b"}") and b"{" in text
