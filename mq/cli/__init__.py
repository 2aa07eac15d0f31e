"""What `python -m mq` can do; each module is one family of commands and is imported when asked for."""
