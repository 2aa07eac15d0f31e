"""RocketMQ's remoting protocol: commands, their bytes, and both ends of a connection.

From the bytes up: `codec` (frames to commands and back, no sockets), `command`, `headers` and `bodies` (what a command
says), `dialect` (the JSON that RocketMQ writes), `connection`, then `server` and `client`.
"""
