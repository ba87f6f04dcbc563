"""What this installation is, and whether a checkpoint is computed rightly here."""
