"""Verbs from typed rows to typed rows; every input has one outcome."""
