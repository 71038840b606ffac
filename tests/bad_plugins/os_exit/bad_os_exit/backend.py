"""Ends the process, past every handler."""

import os


class Backend:
    def __init__(self):
        os._exit(7)
