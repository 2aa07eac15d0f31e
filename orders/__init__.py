"""Orders: baskets become orders, and orders reach exactly one end."""
