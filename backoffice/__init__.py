"""What staff does by hand: Django's admin over the tables of every service, with a role for each kind of work.

Nothing is edited behind a service's back: tables are to look at, and what may be done calls the same functions as
everybody else, is allowed by role, and leaves an entry in the admin's log with the name of who did it.
"""
