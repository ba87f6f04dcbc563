"""Jobs: any number of pictures, on any number of machines, and exactly one row for each."""
