"""Products of providers: which of their files holds which band, and what its values mean."""
