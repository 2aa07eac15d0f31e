"""One module per service: which of its tables staff sees, and what may be done there."""
