"""Notifications listens and publishes nothing."""
