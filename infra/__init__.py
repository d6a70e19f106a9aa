"""What a machine needs before the pipeline can run: the example data, the lock file's environment."""
