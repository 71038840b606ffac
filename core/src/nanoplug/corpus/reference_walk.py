"""What the text of one definition calls and which types it names, bodies of template instantiations included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import define, field, frozen

from nanoplug.corpus.clang_binding import RECURSE, VISITOR, Cursor, Kind
from nanoplug.corpus.unit_view import FUNCTIONS, TYPES, SeenFile, UnitView


@frozen
class Target:
    """What a reference leads to.

    key: short, and "" if it is nothing that a project could define. file: the project's, where it was declared first.
    instance: the instantiated body to look into, if it is an instantiation of a template.
    """

    key: str
    file: SeenFile | None = None
    instance: Cursor | None = None


NOTHING = Target("")


@define
class References:
    """calls, types: key to the byte offset of the first place. instances: what of templates is instantiated, by id.

    guesses: calls in a template by a name that so far means one function only; instantiations know better.
    body: byte offsets of the function's body, if it was met.
    """

    calls: dict[str, int] = field(factory=dict)
    types: dict[str, int] = field(factory=dict)
    guesses: dict[str, int] = field(factory=dict)
    instances: dict[str, Cursor] = field(factory=dict)
    body: tuple[int, int] | None = None


class ReferenceWalk:
    """Walks the definitions of one unit; what declarations mean is looked up once each.

    names: qualified names of functions of the project that the unit calls and does not define, by short key.
    """

    def __init__(self, view: UnitView) -> None:
        self.view = view
        self.names: dict[str, str] = {}
        self._targets: dict[int, Target] = {}
        self._types: dict[int, Target] = {}

    def walk(self, cursors: list[Cursor], file: SeenFile, *, function: Cursor | None = None) -> References:
        """References in `cursors`, which are parts of `file`, or of one of its instantiations.

        function: the definition whose children are searched for the body.
        """
        found = References()
        library = self.view.library
        referenced = library.clang_getCursorReferenced
        calls, types = found.calls, found.types
        pending = False

        def note(target: Target, cursor: Cursor, into: dict[str, int]) -> None:
            if target.file is not None and target.file is not file:
                file.borrowed.add(target.file.name)
            if target.key and target.key not in into:
                into[target.key] = self._offset(cursor, file)
            if target.instance is not None:
                found.instances.setdefault(self.view.short_key(target.instance), target.instance)

        def is_function(cursor: Cursor) -> bool:
            return function is not None and cursor.decl == function.decl and cursor.kind == function.kind

        def visit(cursor: Cursor, parent: Cursor, data: Any) -> int:
            nonlocal pending
            kind = cursor.kind
            if kind == Kind.CALL_EXPR:
                callee = referenced(cursor)
                pending = callee.decl is None
                if callee.kind in FUNCTIONS:
                    note(self.function(callee), cursor, calls)
            elif kind == Kind.TYPE_REF or kind == Kind.TEMPLATE_REF:
                note(self.type(referenced(cursor)), cursor, types)
            elif kind == Kind.OVERLOADED_DECL_REF:
                if pending and library.clang_getNumOverloadedDecls(cursor) == 1:
                    callee = library.clang_getOverloadedDecl(cursor, 0)
                    # Arguments of other types find other operators.
                    if callee.kind in FUNCTIONS and not self.view.spelling(callee).startswith("operator"):
                        note(self.function(callee), cursor, found.guesses)
                pending = False
            elif (kind == Kind.COMPOUND_STMT or kind == Kind.TRY_STMT) and found.body is None and is_function(parent):
                _, start, end = self.view.extent(cursor)
                found.body = (start, end)
            return RECURSE

        visitor = VISITOR(visit)
        for cursor in cursors:
            library.clang_visitChildren(cursor, visitor, None)
        return found

    def function(self, cursor: Cursor) -> Target:
        """What a called function is: the template if it is an instantiation."""
        found = self._targets.get(cursor.decl)
        if found is None:
            cursor = Cursor.from_buffer_copy(cursor)
            pattern = self._pattern(cursor)
            file = self._first_file(pattern)
            implicit = pattern.decl != cursor.decl
            instance = cursor if implicit and self._file(pattern) is not None else None
            known = file is not None or instance is not None or not self._of_system(pattern)
            found = Target(self.view.short_key(pattern), file, instance) if known else NOTHING
            if file is not None and instance is None:
                self._note_name(found.key, pattern)
            self._targets[cursor.decl] = found
        return found

    def type(self, cursor: Cursor) -> Target:
        """What a named type is; an alias is what it stands for."""
        if cursor.decl is None:
            return NOTHING
        found = self._types.get(cursor.decl)
        if found is None:
            address = cursor.decl
            library = self.view.library
            if cursor.kind in (Kind.TYPEDEF, Kind.TYPE_ALIAS):
                whole = library.clang_getCanonicalType(library.clang_getCursorType(cursor))
                cursor = library.clang_getTypeDeclaration(whole)
            found = NOTHING
            if cursor.kind in TYPES:
                pattern = self._pattern(cursor)
                if self._file(pattern) is not None:
                    found = Target(self.view.short_key(pattern), self._first_file(pattern))
            self._types[address] = found
        return found

    def _note_name(self, key: str, cursor: Cursor) -> None:
        """Remember the name of a function that this unit does not define: another parser may have found it."""
        if self.view.library.clang_getCursorDefinition(cursor).decl is None:
            self.names[key] = self.view.qualified(cursor)

    def _pattern(self, cursor: Cursor) -> Cursor:
        """The template that `cursor` was implicitly instantiated from, or itself."""
        library = self.view.library
        while True:
            template = library.clang_getSpecializedCursorTemplate(cursor)
            if template.decl is None or not self._same_text(cursor, template):
                return cursor
            cursor = template

    def _same_text(self, cursor: Cursor, template: Cursor) -> bool:
        """An implicit instantiation is where its template is; an explicit specialisation has a text of its own."""
        library = self.view.library
        here = self._place(cursor)
        if here == self._place(template) or here == self._place(library.clang_getCanonicalCursor(template)):
            return True
        definition = library.clang_getCursorDefinition(template)
        return definition.decl is not None and here == self._place(definition)

    def _place(self, cursor: Cursor) -> tuple[SeenFile | None, int]:
        return self.view.place(self.view.library.clang_getCursorLocation(cursor))

    def _file(self, cursor: Cursor) -> SeenFile | None:
        return self._place(cursor)[0]

    def _of_system(self, cursor: Cursor) -> bool:
        library = self.view.library
        return bool(library.clang_Location_isInSystemHeader(library.clang_getCursorLocation(cursor)))

    def _first_file(self, cursor: Cursor) -> SeenFile | None:
        return self._file(self.view.library.clang_getCanonicalCursor(cursor))

    def _offset(self, cursor: Cursor, file: SeenFile) -> int:
        """Where it is in `file`; behind everything if a macro or another file has it."""
        place, offset = self._place(cursor)
        return offset if place is file else (1 << 31)


def instantiations(walk: ReferenceWalk, wanted: dict[str, Cursor]) -> Iterator[tuple[str, str, SeenFile, References]]:
    """(id, key of the template, its file, references) of `wanted` and of everything that these instantiate in turn."""
    waiting = dict(wanted)
    done: set[str] = set()
    while waiting:
        name, cursor = waiting.popitem()
        done.add(name)
        definition = walk.view.library.clang_getCursorDefinition(cursor)
        if definition.decl is None:
            continue
        file, _ = walk.view.place(walk.view.library.clang_getCursorLocation(definition))
        if file is None:
            continue
        found = walk.walk([definition], file)
        waiting.update((key, value) for key, value in found.instances.items() if key not in done)
        yield name, walk.function(cursor).key, file, found
