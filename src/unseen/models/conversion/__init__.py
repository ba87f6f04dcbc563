"""Folders of checkpoints, written from what is none: bare weights, halves of two models."""
