"""Training polygons and points as a ledger: versions, authors, several people at once.

A ledger is a folder of plain files: `parts/SHA.parquet`, what was added or changed, and
`versions/000007.json`, which parts a version is made of. Nothing in it is ever overwritten.
"""
