"""Harnesses that disturb the process, and the model that says what is true all the same (docs/reliability.md).

Read `model.py` first (what was said and done), then `world.py` (how it is read from the counterparts), `invariants.py`
(what has to hold) and `staff.py` (who answers a cancellation). Then one harness: `sweep.py`, `acts.py`, `pairs.py`,
`providers.py`, `swarm.py`, `outage.py`, `waiting.py`.

What happens to a cancellation has a name of its own for each purpose:

- `model.Verb`: as it is recorded, whoever said or did it;
- `words.Word`: a message of acts and pairs;
- `acts.Deed`: what acts does to a run from outside;
- `meddling.Act`: what others do with the money, in providers;
- `plan.ActKind`: all that the swarm draws.
"""
