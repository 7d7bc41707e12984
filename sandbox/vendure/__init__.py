"""A real Vendure shop to work over: its program (src/, on Node), how it is run, and what its customers, staff and warehouse
do in it."""
