"""What every room may use: files written whole, YAML, durations, errors, the machine."""
