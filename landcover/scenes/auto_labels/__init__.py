"""Labels by rules: classes of ranges of colour, bands and indices, without a labeller."""
