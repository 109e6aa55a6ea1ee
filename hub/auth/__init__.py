"""Who signs in, and under which names."""
