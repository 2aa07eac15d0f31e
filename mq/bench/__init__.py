"""Loads for a broker and what they took, run by `python -m mq bench`: RocketMQ's own four, and one of threads."""
