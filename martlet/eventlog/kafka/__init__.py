"""The event log on Apache Kafka: one topic a partition of the log, one message a record, a position is the next offset.

The topic has one partition. A batch of records is a transaction: what is read is committed, whole, once.
"""
