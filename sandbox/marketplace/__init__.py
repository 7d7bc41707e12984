"""The marketplace stand-in: one process that speaks Mirakl's seller API, as far as cancellations need it (OR11, OR28, OR30).

Sales are kept in one SQLite file. What it promises is committed before it is answered, so a process that was killed has
forgotten nothing. `/sandbox` steers it: sales, what the marketplace or the buyer cancels, shipping, settling, faults, and
the list of effects.
"""
