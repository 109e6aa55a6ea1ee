"""The demonstration: real imagery with real labels, and the loop that makes a map of it."""
