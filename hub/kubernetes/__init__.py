"""Users' servers as pods: spawner, profiles, and why a start fails."""
