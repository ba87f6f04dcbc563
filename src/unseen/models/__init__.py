"""Which checkpoints exist, and how they come to life."""
