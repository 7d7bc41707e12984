"""What a cancellation costs, against the least that any process of four steps costs on the same engine. `make bench`."""
