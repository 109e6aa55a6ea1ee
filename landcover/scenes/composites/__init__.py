"""Several dates and pieces on one grid: stacks and composites."""
