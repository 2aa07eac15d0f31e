"""What inventory does: `reserving` stock for orders, `settling` what becomes of it, and keeping the `catalog`."""
