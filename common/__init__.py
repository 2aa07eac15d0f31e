"""What every service may use: money, ids, the clock, errors. Imports nothing of ours."""
