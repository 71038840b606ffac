"""`python -m nanoplug` is `nanoplug`."""

from nanoplug.cli.main import main

main()
