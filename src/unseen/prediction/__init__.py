"""Cosines → probabilities → predictions, and what pictures taught about them."""
