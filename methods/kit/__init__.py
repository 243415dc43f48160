"""Code shared by methods: crops, towers, checkpoints, training, caches."""
