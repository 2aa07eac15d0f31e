"""The whole shop on one machine: one process that starts, watches, restarts and stops all others."""
