"""What is learnt from labelled pictures: adapters, calibrations, small classifiers."""
