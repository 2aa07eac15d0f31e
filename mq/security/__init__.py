"""Who may ask for what, and who may come at all: accounts, signatures and permissions for broker and name server."""
