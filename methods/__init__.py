"""Methods: one file or one folder for each. A new file is found without being registered."""
