"""What a cancellation costs, against a workflow of four empty activities on the same engine. `make bench`."""
