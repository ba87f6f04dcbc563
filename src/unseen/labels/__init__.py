"""Label sets, before and after they are encoded for a model."""
