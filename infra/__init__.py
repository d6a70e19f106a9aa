"""What a machine needs for a run: the example data, the lock file's environment, processes that end."""
