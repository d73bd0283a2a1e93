"""The report: what a run shows, as one page for people."""
