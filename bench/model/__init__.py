"""What a task, a run, a record and a job are, and how content names them; no files, no work."""
