"""Politeness to the hosts that pictures are fetched from."""
