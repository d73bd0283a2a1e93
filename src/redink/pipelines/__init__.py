"""The published methods, top to bottom."""
