"""What methods share: crops, towers, checkpoints, training, caches; owned by none of them."""
