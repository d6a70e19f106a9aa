"""When and where the pipeline runs: Prefect flows. No machine learning here."""
