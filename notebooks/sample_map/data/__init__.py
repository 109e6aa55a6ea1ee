"""What is kept and read: samples and their journal, legends, scenes and their tiles."""
