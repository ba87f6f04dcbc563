"""How often a classifier is right: metrics, their intervals, and the report."""
