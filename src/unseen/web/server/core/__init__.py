"""What every route calls: settings, queues, label sets, the service."""
