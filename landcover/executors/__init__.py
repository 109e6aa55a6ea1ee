"""One job, many workers: work that falls into parts, and who computes them."""
