"""Pages for people: forms, jobs, results, health."""
