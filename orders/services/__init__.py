"""What orders does: `placing` them, moving them on (`lifecycle`, by way of `changes`), and keeping its catalog copy."""
