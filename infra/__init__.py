"""Infrastructure of a run: example data, a check of the repository, child processes that end with their parent."""
