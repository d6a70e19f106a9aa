"""One module a stage: `python -m tasks.ingest`. Each reads params and artifacts, calls the library, writes artifacts."""
