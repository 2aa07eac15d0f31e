"""A broker, a name server and a client that speak RocketMQ's remoting protocol and keep RocketMQ's files.

Plain asyncio, no Django.
"""
