"""Fine-tuning: a finished model made better for one place with a few labels."""
