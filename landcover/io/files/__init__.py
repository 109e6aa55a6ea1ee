"""Files from outside and files for others: bounded, beneath a folder, whole or not at all."""
