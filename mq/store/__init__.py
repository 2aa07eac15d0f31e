"""RocketMQ's files: commit log, consume queues, key index, checkpoint; written so that RocketMQ can open them."""
