"""What it does: `sending` words through channels."""
