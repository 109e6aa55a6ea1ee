"""Models: what a method is fitted on, a classifier, its card, and the file that holds both."""
