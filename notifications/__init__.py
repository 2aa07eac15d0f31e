"""Notifications: what buyers are told by SMS and push, each a group of its own, so that neither holds up a thing."""
