"""What changes samples: draw, grow, reshape, split, cut; and what they look like as spectra."""
