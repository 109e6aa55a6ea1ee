"""Train a classifier, measure it on places it has not seen, and classify scenes with it."""
