"""HSFT and Cross-DPO, through TRL."""
