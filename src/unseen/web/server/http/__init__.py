"""What every request passes: limits, parsing, health, the files of the page."""
