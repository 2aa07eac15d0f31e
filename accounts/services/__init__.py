"""What accounts does: `logging_in` buyers, their `addresses` and `points`, `holding` and settling their `balance`."""
