"""The whole way, as an operator goes it, on the lab's real machines."""
