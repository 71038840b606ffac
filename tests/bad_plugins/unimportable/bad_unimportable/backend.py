"""Needs a library that is nowhere."""

import a_library_that_is_nowhere  # noqa: F401


class Backend:
    pass
