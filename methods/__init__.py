"""Methods: one file, or one folder, each. Drop a file in and it is found; nothing to register."""
