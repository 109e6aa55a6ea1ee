"""Jobs: the ledger that loses none, who is next, their folders and quotas."""
