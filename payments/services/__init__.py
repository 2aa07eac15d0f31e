"""What payments does, a file per story: opening, capturing (with callbacks), closing, refunding."""
