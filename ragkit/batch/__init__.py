"""Many questions at once: from this machine, or through a provider's batch interface at its price."""
