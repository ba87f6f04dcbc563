"""Labelled pictures: annotations, readers, splits, writers."""
