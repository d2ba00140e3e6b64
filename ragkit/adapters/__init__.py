"""ragkit as other frameworks call it."""
