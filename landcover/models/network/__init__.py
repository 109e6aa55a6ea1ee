"""Networks in model files: the operators that are run, and how they are checked and run."""
