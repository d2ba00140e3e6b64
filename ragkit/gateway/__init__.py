"""Between the ask path and the models that cost something: what a call costs."""
