"""Which pixels of a scene show the ground: quality bands, a rule, a network."""
