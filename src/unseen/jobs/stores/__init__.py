"""Where a job lies: a folder, or an object store that publishes once."""
