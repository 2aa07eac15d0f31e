"""Loads for a broker and what they took; the four that RocketMQ's own benchmark has. Run by `python -m mq bench`."""
