"""Why a picture got a label: which places, words and concepts speak for it, and how far to believe
that."""
