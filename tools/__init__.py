"""Programs for those who work on iqa-bench; nothing imports them."""
