"""Training of ragkit's own small models. Everything heavy is imported inside the function that needs it."""
