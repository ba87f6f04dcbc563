"""What other tools are given, and what they give."""
