"""Train a classifier, and estimate its accuracy in unseen places."""
