"""What every service process runs on: settings, the gRPC server, errors to statuses, metrics, logs, who may call."""
