"""A folder labelled by a model, looked over by a person, and handed on as a data set."""
