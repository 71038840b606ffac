"""The part of libclang's C interface that the indexer calls, by ctypes.

clang's own Python bindings build several objects for each cursor, which takes longer than parsing; these are the bare
functions. Structures and numbers are those of clang-c/Index.h and have been stable since clang 16.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import POINTER, Structure, c_char_p, c_int, c_uint, c_void_p
from pathlib import Path
from typing import Any

from nanoplug.errors import DataError

CONTINUE, RECURSE = 1, 2
# CXTranslationUnit_Flags
DETAILED_PREPROCESSING_RECORD, KEEP_GOING = 0x01, 0x200
ERROR = 3
"""Diagnostics of this severity and above are errors."""


class Kind:
    """CXCursorKind."""

    STRUCT, UNION, CLASS, ENUM = 2, 3, 4, 5
    FUNCTION, TYPEDEF, METHOD, NAMESPACE, LINKAGE_SPEC = 8, 20, 21, 22, 23
    CONSTRUCTOR, DESTRUCTOR, CONVERSION = 24, 25, 26
    FUNCTION_TEMPLATE, CLASS_TEMPLATE, PARTIAL_SPECIALIZATION = 30, 31, 32
    NAMESPACE_ALIAS, USING_DIRECTIVE, USING_DECLARATION, TYPE_ALIAS = 33, 34, 35, 36
    TYPE_REF, TEMPLATE_REF, OVERLOADED_DECL_REF = 43, 45, 49
    DECL_REF_EXPR, MEMBER_REF_EXPR, CALL_EXPR = 101, 102, 103
    COMPOUND_STMT, TRY_STMT = 202, 224
    TYPE_ALIAS_TEMPLATE, FRIEND = 601, 603
    UNEXPOSED = 1


class Cursor(Structure):
    _fields_ = [
        ("kind", c_int),
        ("xdata", c_int),
        ("decl", c_void_p),
        ("data1", c_void_p),
        ("data2", c_void_p),
    ]


class Location(Structure):
    _fields_ = [("ptr0", c_void_p), ("ptr1", c_void_p), ("data", c_uint)]


class Range(Structure):
    _fields_ = [("ptr0", c_void_p), ("ptr1", c_void_p), ("begin", c_uint), ("end", c_uint)]


class String(Structure):
    _fields_ = [("data", c_void_p), ("flags", c_uint)]


class Type(Structure):
    _fields_ = [("kind", c_int), ("data0", c_void_p), ("data1", c_void_p)]


class UnsavedFile(Structure):
    _fields_ = [("name", c_char_p), ("contents", c_char_p), ("length", ctypes.c_ulong)]


class RangeList(Structure):
    _fields_ = [("count", c_uint), ("ranges", POINTER(Range))]


VISITOR = ctypes.CFUNCTYPE(c_int, Cursor, Cursor, c_void_p)
INCLUSION_VISITOR = ctypes.CFUNCTYPE(None, c_void_p, POINTER(Location), c_uint, c_void_p)
_FILE_VISITOR = ctypes.CFUNCTYPE(c_int, c_void_p, Cursor, Range)


class FileVisitor(Structure):
    _fields_ = [("context", c_void_p), ("visit", _FILE_VISITOR)]


def file_visitor(visit: Callable[[Any, Cursor, Range], int]) -> FileVisitor:
    """What `clang_findIncludesInFile` takes."""
    return FileVisitor(None, _FILE_VISITOR(visit))


_UINT_P = POINTER(c_uint)
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "clang_createIndex": (c_void_p, [c_int, c_int]),
    "clang_disposeIndex": (None, [c_void_p]),
    "clang_parseTranslationUnit2FullArgv": (
        c_int,
        [c_void_p, c_char_p, POINTER(c_char_p), c_int, POINTER(UnsavedFile), c_uint, c_uint, POINTER(c_void_p)],
    ),
    "clang_disposeTranslationUnit": (None, [c_void_p]),
    "clang_getTranslationUnitCursor": (Cursor, [c_void_p]),
    "clang_getNumDiagnostics": (c_uint, [c_void_p]),
    "clang_getDiagnostic": (c_void_p, [c_void_p, c_uint]),
    "clang_disposeDiagnostic": (None, [c_void_p]),
    "clang_getDiagnosticSeverity": (c_int, [c_void_p]),
    "clang_getDiagnosticSpelling": (String, [c_void_p]),
    "clang_getDiagnosticLocation": (Location, [c_void_p]),
    "clang_getInclusions": (None, [c_void_p, INCLUSION_VISITOR, c_void_p]),
    "clang_findIncludesInFile": (c_int, [c_void_p, c_void_p, FileVisitor]),
    "clang_getIncludedFile": (c_void_p, [Cursor]),
    "clang_getFile": (c_void_p, [c_void_p, c_char_p]),
    "clang_getFileName": (String, [c_void_p]),
    "clang_getSkippedRanges": (POINTER(RangeList), [c_void_p, c_void_p]),
    "clang_disposeSourceRangeList": (None, [POINTER(RangeList)]),
    "clang_visitChildren": (c_uint, [Cursor, VISITOR, c_void_p]),
    "clang_getCursorLocation": (Location, [Cursor]),
    "clang_getCursorExtent": (Range, [Cursor]),
    "clang_getRangeStart": (Location, [Range]),
    "clang_getRangeEnd": (Location, [Range]),
    "clang_getFileLocation": (None, [Location, POINTER(c_void_p), _UINT_P, _UINT_P, _UINT_P]),
    "clang_getExpansionLocation": (None, [Location, POINTER(c_void_p), _UINT_P, _UINT_P, _UINT_P]),
    "clang_Location_isInSystemHeader": (c_int, [Location]),
    "clang_getCursorUSR": (String, [Cursor]),
    "clang_getCursorSpelling": (String, [Cursor]),
    "clang_getCursorReferenced": (Cursor, [Cursor]),
    "clang_getCursorDefinition": (Cursor, [Cursor]),
    "clang_getCanonicalCursor": (Cursor, [Cursor]),
    "clang_isCursorDefinition": (c_uint, [Cursor]),
    "clang_getCursorSemanticParent": (Cursor, [Cursor]),
    "clang_getSpecializedCursorTemplate": (Cursor, [Cursor]),
    "clang_getTemplateCursorKind": (c_int, [Cursor]),
    "clang_getNumOverloadedDecls": (c_uint, [Cursor]),
    "clang_getOverloadedDecl": (Cursor, [Cursor, c_uint]),
    "clang_CXXMethod_isDefaulted": (c_uint, [Cursor]),
    "clang_CXXMethod_isDeleted": (c_uint, [Cursor]),
    "clang_getCursorType": (Type, [Cursor]),
    "clang_getCanonicalType": (Type, [Type]),
    "clang_getTypeDeclaration": (Cursor, [Type]),
    "clang_getCString": (c_char_p, [String]),
    "clang_disposeString": (None, [String]),
    "clang_getClangVersion": (String, []),
}


def load_library(path: Path) -> Any:
    """libclang from that file, with the types of its functions set. Raises DataError if it cannot be loaded."""
    try:
        library = ctypes.CDLL(str(path))
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise DataError(
            f"{path} cannot be used as libclang: {error}.",
            todo="Name libclang.so of clang 16 or later, or install nanoplug[clang].",
        ) from error
    return library


def text_of(library: Any, string: String) -> str:
    """The text of a CXString, which is freed."""
    data: bytes | None = library.clang_getCString(string)
    library.clang_disposeString(string)
    return (data or b"").decode("utf-8", "surrogateescape")
