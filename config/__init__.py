"""Settings, urls, the embedded servers and their supervisor: the one reader of the environment."""
