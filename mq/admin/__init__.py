"""`python -m mq admin`: the commands and flags of RocketMQ's mqadmin, for this broker and for Apache's.

One module per family of commands; each command is a function from a `Session` to a `Report`.
"""
