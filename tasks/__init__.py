"""One module per stage: `python -m tasks.ingest`. Each reads artifacts, calls the library, writes artifacts."""
