"""How far a map can be trusted: compare it with a reference, or two maps with each other.

`confusion` counts, `estimates` speaks of a whole map from a sample of it, `clustered_test` says
whether two maps differ by more than chance, `naming` tells files apart, `report` draws and writes
the pages; `assessment`, `comparison` and `reference_sample` are the operations.
"""
