"""Labelled collections of pictures, and how they are parted."""
