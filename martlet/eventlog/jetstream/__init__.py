"""The event log on NATS JetStream: one stream a partition, one message a record, a position is a stream sequence."""
