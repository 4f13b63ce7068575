"""appliance.yaml: read with every mistake at once, and written for the first time."""
