"""What accounts does: `logging_in` buyers, and keeping their `points`."""
