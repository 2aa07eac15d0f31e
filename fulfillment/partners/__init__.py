"""The third parties: `client` asks them, behind a circuit breaker for each. Never call them inside a transaction."""
