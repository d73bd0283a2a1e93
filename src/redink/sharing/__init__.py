"""What leaves the house, and what comes in: exported models and data, cards, the hub, other people's data."""
