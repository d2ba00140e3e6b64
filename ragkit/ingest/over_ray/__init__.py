"""The index path over a Ray cluster (`ingestion.engine: ray`): Ray's workers parse, chunk and embed, and the run that
started them writes. See `docs/decisions/2026-11-27-ray.md`."""
