"""Settings: `base` for all, `dev` for the shop that `manage.py up` runs, `test` for the suite."""
