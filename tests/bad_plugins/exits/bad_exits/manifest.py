"""Its manifest ends the process, if one lets it."""

import sys

sys.exit(3)
