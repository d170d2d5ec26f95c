"""An incident from its planting to its end: three kinds of failure, and what an operator does about each."""
