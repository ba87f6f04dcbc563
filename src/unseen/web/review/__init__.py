"""The page on which a person looks over what a model proposed: a small server for one machine."""
