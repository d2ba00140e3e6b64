"""What a running system tells of itself: stages as they end, spans, metrics, logs."""
