"""Fine-tuning that does not forget: on a leash, judged by what it must not lose."""
