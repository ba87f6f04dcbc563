"""Who works at a job, and how far it is."""
