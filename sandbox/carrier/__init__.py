"""The carrier stand-in: one process that speaks EasyPost v2 (under /v2) and UPS Delivery Intercept v2 (at the root).

Both see the same parcels, kept in one SQLite file. What it promises is committed before it is answered, so a process that
was killed has forgotten nothing. `/sandbox` steers it: parcels in any state, scans, the clock, faults, the list of effects.
"""
