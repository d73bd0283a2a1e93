"""The papers' tables and figures: arms over seeds, what they share, and what is made of them."""
