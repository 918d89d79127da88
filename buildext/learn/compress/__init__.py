"""From a trained network to a file that engines run."""
