"""Texts → token ids, as the files of a checkpoint say."""
