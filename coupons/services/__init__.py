"""What coupons does: `templates`, `issuing` coupons, `locking` them for orders, `settling` what becomes of them."""
