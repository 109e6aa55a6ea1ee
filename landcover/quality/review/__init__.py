"""Where a map is likely wrong, what labels say of it, and which part of it can be trusted."""
