"""Coupons: what is taken off a price, for whom, and that each is used once."""
