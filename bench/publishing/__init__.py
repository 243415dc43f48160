"""Results shown to others: a leaderboard in a git repository, and repositories on the hub."""
