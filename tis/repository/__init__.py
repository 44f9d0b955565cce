"""Model repositories on disk: which models and versions they hold, and what each model's directory defines."""
