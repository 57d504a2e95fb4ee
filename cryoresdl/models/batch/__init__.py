"""Many maps: the list, its jobs, the ledger of results, and the workers."""
