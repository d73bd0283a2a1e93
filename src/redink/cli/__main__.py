"""`python -m redink.cli`."""

from redink.cli import main

main()
