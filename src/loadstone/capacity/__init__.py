"""Studies: the search for the smallest server that holds a load."""
